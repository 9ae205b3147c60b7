// The fixed 8 bytes before a payload, as one u64 (bitstream §4.1, §4.2).
#pragma once

#include <cstdint>
#include <optional>

namespace swathpack {

inline constexpr unsigned kRecordHeaderBytes = 8;
inline constexpr unsigned kRecordCrcBytes = 4;
inline constexpr unsigned kMaxPayloadBytes = 65536;
inline constexpr unsigned kMaxLanes = 128;
inline constexpr uint32_t kMaxTiles = 65536;

enum class RecordKind : uint8_t {
  kPadding = 0,
  kCoefficients = 1,
  kTables = 2,
  kIndex = 3,
  kSeal = 4,
  kRefinement = 5,           // reserved
  kCompactCoefficients = 6,  // one lane, no masks: the payload begins with the state (§5.1)
};

struct RecordHeader {
  uint8_t kind = 1;             // RecordKind, or 7: reserved
  uint8_t plane = 0;            // 0–7
  uint8_t layer = 0;            // 0–15
  uint8_t log2_lanes = 0;       // 0–7; of kind 6: 0
  uint8_t state_form = 0;       // of kind 6: bits 2–4 of the form, which other kinds have in the payload
  int8_t ladder_offset = 0;     // −4 … 3
  uint16_t first_tile = 0;      // 0 … 65535
  uint8_t tile_count_code = 0;  // see tile_count()
  uint32_t payload_bytes = 1;   // 1 … 65536
  uint8_t check = 0;            // CRC-8 of the seven bytes before it

  // Field by field; every u64 is some header, and whether its fields are legal is the caller's question.
  [[nodiscard]] static RecordHeader unpack(uint64_t packed);
  [[nodiscard]] uint64_t pack() const;  // with the check byte computed, not `check`

  [[nodiscard]] bool is_compact() const {
    return kind == static_cast<uint8_t>(RecordKind::kCompactCoefficients);
  }
  [[nodiscard]] bool is_coefficients() const {
    return kind == static_cast<uint8_t>(RecordKind::kCoefficients) || is_compact();
  }
  [[nodiscard]] unsigned lanes() const { return 1u << log2_lanes; }
  [[nodiscard]] uint32_t tile_count() const;
  [[nodiscard]] uint64_t record_bytes() const { return kRecordHeaderBytes + payload_bytes + kRecordCrcBytes; }
};

// Tiles meant by a tile-count code, 1 … 32768, and the code of a count, if it is writable (§4.2).
[[nodiscard]] uint32_t tile_count_of(uint8_t code);
[[nodiscard]] std::optional<uint8_t> tile_count_code(uint32_t count);

// What RecordEncoder::encode is asked with for a record that has the packed header of a coefficient record.
[[nodiscard]] uint64_t asked_header(uint64_t packed);

// The check byte that the seven low bytes of a packed header demand.
[[nodiscard]] uint8_t header_check(uint64_t packed);

}  // namespace swathpack
