#include "swathpack/nec_file.h"

#include <algorithm>
#include <string>

#include "bytes.h"
#include "swathpack/checksum.h"
#include "swathpack/record_header.h"

namespace swathpack {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'N', 'E', 'C', 0x0D, 0x0A, 0x1A, 0x0A};
constexpr size_t kFixedBytes = 124, kPlaneBytes = 14, kMaxHeaderBytes = 800, kCrcBytes = 4;

Error refuse(ErrorKind kind, std::string what, size_t offset, std::string expected = {},
             std::string found = {}) {
  return Error{kind, std::move(what), offset, std::move(expected), std::move(found)};
}

Error not_written(std::string why) { return Error{ErrorKind::kBadInput, "not written: " + std::move(why)}; }

// A record of kind 3 or 4 (§4.6): only the number is used.
std::vector<uint8_t> numbered(RecordKind kind, size_t number, std::span<const uint8_t> payload) {
  RecordHeader h;
  h.kind = static_cast<uint8_t>(kind);
  h.first_tile = static_cast<uint16_t>(number);
  h.payload_bytes = static_cast<uint32_t>(payload.size());
  std::vector<uint8_t> out;
  append_le(out, h.pack(), kRecordHeaderBytes);
  out.insert(out.end(), payload.begin(), payload.end());
  append_le(out, crc32c(out), kRecordCrcBytes);
  return out;
}

}  // namespace

Result<NecHeader> NecHeader::parse(std::span<const uint8_t> data) {
  const size_t known = std::min(data.size(), kMagic.size());
  if (!std::equal(kMagic.begin(), kMagic.begin() + static_cast<ptrdiff_t>(known), data.begin())) {
    return refuse(ErrorKind::kCorrupt, "not a .nec file", 0);
  }
  if (data.size() < 13)
    return refuse(ErrorKind::kTruncated, "the header ends in its first fields", data.size());
  if (data[8] != 0) {
    return refuse(ErrorKind::kUnsupported, "format version " + std::to_string(data[8]) + " is unknown", 8);
  }
  NecHeader h;
  h.length = load_u16(data.data() + 10);
  const size_t n_planes = data[12], least = kFixedBytes + kPlaneBytes * n_planes + kCrcBytes;
  if (n_planes < 1 || n_planes > 8)
    return refuse(ErrorKind::kCorrupt, "the number of planes is not 1 to 8", 12);
  if (h.length < least || h.length > kMaxHeaderBytes) {
    return refuse(ErrorKind::kCorrupt, "the header's length field is impossible", 10,
                  std::to_string(least) + " to 800", std::to_string(h.length));
  }
  if (data.size() < h.length) {
    return refuse(ErrorKind::kTruncated, "the header ends early", data.size(),
                  std::to_string(h.length) + " bytes", std::to_string(data.size()));
  }
  data = data.first(h.length);
  if (crc32c(data.first(h.length - kCrcBytes)) != load_u32(data.data() + h.length - kCrcBytes)) {
    return refuse(ErrorKind::kCorrupt, "the header's checksum does not match", h.length - kCrcBytes);
  }
  h.ladder_index = data[13];
  if (h.ladder_index > 254) return refuse(ErrorKind::kCorrupt, "the ladder index is above 254", 13);
  h.grid = {load_u32(data.data() + 52), load_u32(data.data() + 56),
            static_cast<uint16_t>(load_u16(data.data() + 60)),
            static_cast<uint16_t>(load_u16(data.data() + 62))};
  if (!h.grid.is_legal()) {
    return refuse(ErrorKind::kCorrupt, "the scene does not have 1 to 65536 tiles, or a side is 0", 52);
  }
  for (size_t i = 0; i < n_planes; ++i) {
    const uint8_t* const p = data.data() + kFixedBytes + kPlaneBytes * i;
    h.planes.push_back({p[8], p[9], load_u16(p + 10), p[12], p[13]});
  }
  return h;
}

Result<NecTail> NecTail::begin(std::span<const uint8_t> header) {
  auto parsed = NecHeader::parse(header);
  if (!parsed.ok()) return parsed.error();
  NecTail tail;
  tail.header_ = parsed.take();
  if (tail.header_.length != header.size()) {
    return refuse(ErrorKind::kBadInput, "bytes stand behind the header", tail.header_.length,
                  std::to_string(tail.header_.length) + " bytes", std::to_string(header.size()));
  }
  tail.sha_.update(header);
  tail.offset_ = header.size();
  return tail;
}

MaybeError NecTail::add(std::span<const uint8_t> record) {
  if (record.size() < kRecordHeaderBytes + 1 + kRecordCrcBytes) return not_written("the record ends early");
  if (crc8(record.first(7)) != record[7]) return not_written("the record header's check byte does not match");
  const RecordHeader h = RecordHeader::unpack(load_u64(record.data()));
  if (h.record_bytes() != record.size()) return not_written("the record does not have the length it says");
  if (crc32c(record.first(record.size() - kRecordCrcBytes)) !=
      load_u32(record.data() + record.size() - kRecordCrcBytes)) {
    return not_written("the record's checksum does not match");
  }
  if (h.is_coefficients()) {
    if (h.plane >= header_.planes.size() || h.layer >= header_.planes[h.plane].n_layers) {
      return not_written("the record names a plane or layer that is not there");
    }
    if (uint64_t{h.first_tile} + h.tile_count() > header_.grid.n_tiles()) {
      return not_written("the record's tiles reach beyond the last tile");
    }
  } else if (h.kind != static_cast<uint8_t>(RecordKind::kTables)) {
    return not_written("only records of coefficients or tables are added");
  } else if (h.plane || h.layer || h.log2_lanes || h.ladder_offset || h.first_tile >= h.tile_count()) {
    return not_written("a tables record uses fields that are not its own");
  }
  sha_.update(record);
  offset_ += record.size();
  heads_.insert(heads_.end(), record.begin(), record.begin() + kRecordHeaderBytes);
  return std::nullopt;
}

std::vector<uint8_t> NecTail::finish() const {
  std::vector<uint8_t> tail;
  const auto append = [&tail](const std::vector<uint8_t>& record) {
    tail.insert(tail.end(), record.begin(), record.end());
  };
  size_t n_records = heads_.size() / kRecordHeaderBytes;
  const std::span<const uint8_t> heads(heads_);
  for (size_t at = 0; at < heads.size(); at += kMaxPayloadBytes, ++n_records) {
    const auto part = heads.subspan(at, std::min<size_t>(kMaxPayloadBytes, heads.size() - at));
    append(numbered(RecordKind::kIndex, at / kMaxPayloadBytes, part));
  }
  Sha256 sha = sha_;
  sha.update(tail);
  std::vector<uint8_t> payload;
  append_le(payload, n_records, 4);
  append_le(payload, offset_ + tail.size(), 8);
  const auto digest = sha.digest();
  payload.insert(payload.end(), digest.begin(), digest.begin() + 8);
  append_le(payload, 0, 4);
  append(numbered(RecordKind::kSeal, 0, payload));
  return tail;
}

}  // namespace swathpack
