#include "swathpack/record_header.h"

#include <array>
#include <bit>

#include "swathpack/checksum.h"

namespace swathpack {

uint32_t tile_count_of(uint8_t code) {
  if (code < 128) return code + 1u;
  const unsigned e = (code - 128u) / 16, j = (code - 128u) % 16;
  return (17 + j) << (3 + e);
}

std::optional<uint8_t> tile_count_code(uint32_t count) {
  if (count >= 1 && count <= 128) return static_cast<uint8_t>(count - 1);
  if (count < 1 || count > 32768) return std::nullopt;
  // 17 … 32 times 2^(3+e): count − 1 has its leading bit in place 7 + e.
  const unsigned e = static_cast<unsigned>(std::bit_width(count - 1)) - 8;
  if (count & ((8u << e) - 1)) return std::nullopt;
  return static_cast<uint8_t>(128 + 16 * e + (count >> (3 + e)) - 17);
}

uint8_t header_check(uint64_t packed) {
  std::array<uint8_t, 7> bytes;
  for (unsigned i = 0; i < 7; ++i) bytes[i] = static_cast<uint8_t>(packed >> (8 * i));
  return crc8(bytes);
}

RecordHeader RecordHeader::unpack(uint64_t packed) {
  const auto field = [packed](unsigned first_bit, unsigned n_bits) {
    return static_cast<uint32_t>(packed >> first_bit & ((uint64_t{1} << n_bits) - 1));
  };
  RecordHeader h;
  h.kind = static_cast<uint8_t>(field(0, 3));
  h.plane = static_cast<uint8_t>(field(3, 3));
  h.layer = static_cast<uint8_t>(field(6, 4));
  (h.is_compact() ? h.state_form : h.log2_lanes) = static_cast<uint8_t>(field(10, 3));
  const int offset = static_cast<int>(field(13, 3));
  h.ladder_offset = static_cast<int8_t>(offset < 4 ? offset : offset - 8);
  h.first_tile = static_cast<uint16_t>(field(16, 16));
  h.tile_count_code = static_cast<uint8_t>(field(32, 8));
  h.payload_bytes = field(40, 16) + 1;
  h.check = static_cast<uint8_t>(field(56, 8));
  return h;
}

uint64_t RecordHeader::pack() const {
  uint64_t packed = kind & 7u;
  packed |= uint64_t{plane & 7u} << 3;
  packed |= uint64_t{layer & 15u} << 6;
  packed |= uint64_t{(is_compact() ? state_form : log2_lanes) & 7u} << 10;
  packed |= uint64_t{static_cast<uint8_t>(ladder_offset) & 7u} << 13;
  packed |= uint64_t{first_tile} << 16;
  packed |= uint64_t{tile_count_code} << 32;
  packed |= uint64_t{(payload_bytes - 1) & 0xFFFFu} << 40;
  return packed | uint64_t{header_check(packed)} << 56;
}

uint64_t asked_header(uint64_t packed) {
  RecordHeader h = RecordHeader::unpack(packed);
  if (h.is_compact()) h.kind = static_cast<uint8_t>(RecordKind::kCoefficients);
  return h.pack() & 0xFFFFFFFFFFu;  // without length and check
}

uint32_t RecordHeader::tile_count() const { return tile_count_of(tile_count_code); }

}  // namespace swathpack
