#include "swathpack/tables.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "bytes.h"
#include "swathpack/checksum.h"

namespace swathpack {
namespace {

constexpr size_t kFixedBytes = 12;  // magic … length
constexpr size_t kCrcBytes = 4;

Error refuse(ErrorKind kind, std::string what, size_t offset) { return Error{kind, std::move(what), offset}; }

MaybeError parse_ladder(ByteReader& in, unsigned length, std::vector<float>& ladder) {
  float before = 0;
  for (unsigned i = 0; i < length; ++i) {
    const size_t at = in.position();
    const float step = in.f32();
    if (in.overrun())
      return refuse(ErrorKind::kCorrupt, "the table file is too short for its step ladder", at);
    if (!std::isfinite(step) || !(step > before)) {
      return refuse(
          ErrorKind::kCorrupt,
          "ladder step " + std::to_string(i) + " is not finite, above 0 and above the step before it", at);
    }
    ladder.push_back(before = step);
  }
  return std::nullopt;
}

void fill_search_and_costs(Table& table) {
  unsigned k = 0;
  for (unsigned bucket = 0; bucket < 256; ++bucket) {
    const uint32_t slot = bucket * 256;
    while (slot - table.range[k].start >= table.range[k].frequency) ++k;
    table.first[bucket] = static_cast<uint8_t>(k);
  }
  for (k = 0; k <= table.n_thresholds; ++k) {
    const uint32_t share = table.share(k);
    table.cost[k] = cost_of_frequency(share) + (k > 0 ? 256 : 0);
    table.reciprocal[k] = ((uint64_t{1} << 48) + share - 1) / share;
  }
}

MaybeError parse_table(ByteReader& in, unsigned index, Table& table) {
  const size_t at = in.position();
  const std::string name = "table " + std::to_string(index);
  const unsigned n_thresholds = in.u8();
  const unsigned low_bits = in.u8();
  const unsigned reserved = in.u16();
  table.r1 = in.f32();
  table.r2 = in.f32();
  table.theta = in.f32();
  const auto thresholds = in.take(size_t{2} * n_thresholds);
  if (in.overrun()) return refuse(ErrorKind::kCorrupt, name + " reaches beyond the table file", at);
  if (reserved != 0)
    return refuse(ErrorKind::kUnsupported, name + " has a reserved field that is not 0", at + 2);
  if (!(table.r1 > 0 && table.r1 <= 2)) {
    return refuse(ErrorKind::kCorrupt, name + ": r1 is not above 0 and at most 2", at + 4);
  }
  if (!(table.r2 >= -1 && table.r2 <= 1)) {
    return refuse(ErrorKind::kCorrupt, name + ": r2 is not within -1 and 1", at + 8);
  }
  if (!(table.theta >= 0 && table.theta <= 0.5f)) {
    return refuse(ErrorKind::kCorrupt, name + ": theta is not within 0 and 0.5", at + 12);
  }
  if (low_bits > kMaxLowBits) return refuse(ErrorKind::kCorrupt, name + " has more than 8 low bits", at + 1);
  if (low_bits > 0 && n_thresholds == 0)
    return refuse(ErrorKind::kCorrupt, name + " has low bits and no threshold", at + 1);
  if (n_thresholds << low_bits > kMaxMagnitude)
    return refuse(ErrorKind::kCorrupt, name + " reaches beyond the magnitude 32767", at + 1);
  table.n_thresholds = n_thresholds;
  table.low_bits = low_bits;
  uint32_t before = 0;
  for (unsigned k = 0; k < n_thresholds; ++k) {
    const uint32_t threshold = load_u16(thresholds.data() + 2 * k);
    if (threshold <= before) {
      return refuse(ErrorKind::kCorrupt, name + ": threshold " + std::to_string(k + 1) + " does not increase",
                    at + 16 + 2 * k);
    }
    if ((threshold & ((1u << low_bits) - 1)) != 0) {
      return refuse(
          ErrorKind::kCorrupt,
          name + ": threshold " + std::to_string(k + 1) + " is no multiple of 2 to the number of low bits",
          at + 16 + 2 * k);
    }
    table.range[k] = {static_cast<uint16_t>(before), static_cast<uint16_t>(threshold - before)};
    before = threshold;
  }
  if (n_thresholds > 0) {
    table.range[n_thresholds] = {static_cast<uint16_t>(before), static_cast<uint16_t>(65536 - before)};
    fill_search_and_costs(table);
  }
  return std::nullopt;
}

MaybeError check_bands(const Plane& plane, const std::string& name, size_t at) {
  std::vector<unsigned> size(plane.n_bands, 0);
  for (size_t f = 0; f < plane.band_of_frequency.size(); ++f) {
    const unsigned b = plane.band_of_frequency[f];
    if (b >= plane.n_bands)
      return refuse(ErrorKind::kCorrupt, name + ": a frequency names a band beyond the last", at + f);
    ++size[b];
  }
  for (unsigned b = 0; b < plane.n_bands; ++b) {
    if (size[b] == 0) {
      return refuse(ErrorKind::kCorrupt, name + ": band " + std::to_string(b) + " has no frequency", at);
    }
  }
  if (plane.kind == 0 && (plane.band_of_frequency[0] != 0 || size[0] != 1)) {
    return refuse(ErrorKind::kCorrupt, name + ": frequency 0 is not alone in band 0", at);
  }
  return std::nullopt;
}

void order_frequencies(Plane& plane) {
  for (unsigned b = 0; b < plane.n_bands; ++b) {
    plane.band_begin.push_back(static_cast<uint16_t>(plane.frequencies.size()));
    for (size_t f = 0; f < plane.band_of_frequency.size(); ++f) {
      if (plane.band_of_frequency[f] == b) plane.frequencies.push_back(static_cast<uint16_t>(f));
    }
  }
  plane.band_begin.push_back(static_cast<uint16_t>(plane.frequencies.size()));
}

MaybeError parse_plane(ByteReader& in, unsigned index, Plane& plane) {
  const size_t at = in.position();
  const std::string name = "plane " + std::to_string(index);
  plane.rows = in.u8();
  plane.cols = in.u8();
  plane.channels = in.u16();
  plane.n_layers = in.u8();
  plane.n_bands = in.u8();
  plane.kind = in.u8();
  const unsigned reserved = in.u8();
  if (in.overrun()) return refuse(ErrorKind::kCorrupt, name + " reaches beyond the table file", at);
  const auto corrupt = [&](const char* what, size_t offset) {
    return refuse(ErrorKind::kCorrupt, name + ": " + what, at + offset);
  };
  if (plane.rows < 1 || plane.rows > 64) return corrupt("token rows are not 1 to 64", 0);
  if (plane.cols < 1 || plane.cols > 64) return corrupt("token columns are not 1 to 64", 1);
  if (plane.channels < 1 || plane.channels > 4096) return corrupt("channels are not 1 to 4096", 2);
  if (plane.n_layers < 1 || plane.n_layers > 16) return corrupt("layers are not 1 to 16", 4);
  if (plane.n_bands < 1 || plane.n_bands > plane.n_frequencies()) {
    return corrupt("bands are not 1 to the number of tokens", 5);
  }
  if (plane.kind > 1) {
    return refuse(ErrorKind::kUnsupported, name + ": kind " + std::to_string(plane.kind) + " is not known",
                  at + 6);
  }
  if (reserved != 0)
    return refuse(ErrorKind::kUnsupported, name + " has a reserved field that is not 0", at + 7);

  const auto shifts = in.take(plane.n_layers);
  const size_t bands_at = in.position();
  const auto bands = in.take(plane.n_frequencies());
  const size_t layers_at = in.position();
  const size_t n_cells = size_t{plane.n_bands} * plane.channels;
  const auto layers = in.take(n_cells);
  const auto classes = in.take(n_cells);
  if (in.overrun()) return refuse(ErrorKind::kCorrupt, name + " reaches beyond the table file", at);

  for (const uint8_t s : shifts) plane.layer_shift.push_back(static_cast<int8_t>(s));
  plane.band_of_frequency.assign(bands.begin(), bands.end());
  plane.layer_map.assign(layers.begin(), layers.end());
  plane.class_map.assign(classes.begin(), classes.end());
  if (auto error = check_bands(plane, name, bands_at)) return error;
  for (size_t i = 0; i < n_cells; ++i) {
    if (plane.layer_map[i] >= plane.n_layers && plane.layer_map[i] != kNeverSent) {
      return refuse(ErrorKind::kCorrupt, name + ": the layer map names a layer beyond the last",
                    layers_at + i);
    }
  }
  order_frequencies(plane);
  return std::nullopt;
}

}  // namespace

uint32_t cost_of_frequency(uint32_t frequency) {
  const unsigned n = static_cast<unsigned>(std::bit_width(frequency)) - 1;
  uint64_t y = uint64_t{frequency} << (31 - n);  // 2^31 ≤ y < 2^32: the mantissa of log2
  uint32_t fraction = 0;
  for (int i = 0; i < 8; ++i) {
    y = y * y >> 31;
    fraction <<= 1;
    if (y >> 32) {
      fraction |= 1;
      y >>= 1;
    }
  }
  return 4096 - (256 * n + fraction);
}

Result<TableSet> TableSet::parse(std::span<const uint8_t> data) {
  const size_t known = data.size() < 4 ? data.size() : 4;
  if (known > 0 && std::memcmp(data.data(), "NECT", known) != 0) {
    return refuse(ErrorKind::kCorrupt, "not a table file: it does not begin with NECT", 0);
  }
  // A file that comes whole or not at all: cut short it is corrupt like any other whose length is not what it
  // says.
  if (data.size() < kFixedBytes) {
    return refuse(ErrorKind::kCorrupt, "the table file ends in its first fields", data.size());
  }
  if (data[4] != 0) {
    Error error =
        refuse(ErrorKind::kUnsupported, "table file version " + std::to_string(data[4]) + " is unknown", 4);
    error.fix = "use a newer Swathpack";
    return error;
  }
  const size_t length = load_u32(data.data() + 8);
  if (length < kFixedBytes + kCrcBytes || length > kMaxTableFileBytes) {
    return Error{ErrorKind::kCorrupt, "the table file's length field is impossible", 8, "16 to 131072",
                 std::to_string(length)};
  }
  if (data.size() != length) {
    return Error{ErrorKind::kCorrupt, "the table file does not have the length it says",
                 std::min(data.size(), length), std::to_string(length) + " bytes",
                 std::to_string(data.size())};
  }
  const auto body = data.first(length - kCrcBytes);
  if (crc32c(body) != load_u32(data.data() + length - kCrcBytes)) {
    return refuse(ErrorKind::kCorrupt, "the table file's checksum does not match", length - kCrcBytes);
  }
  const unsigned n_planes = data[5], n_tables = data[6], n_ladder = data[7];
  if (n_planes < 1 || n_planes > 8)
    return refuse(ErrorKind::kCorrupt, "the number of planes is not 1 to 8", 5);
  if (n_tables < 1 || n_tables > 128)
    return refuse(ErrorKind::kCorrupt, "the number of tables is not 1 to 128", 6);
  if (n_ladder < 1) return refuse(ErrorKind::kCorrupt, "the step ladder is empty", 7);

  ByteReader in(body);
  (void)in.take(kFixedBytes);
  TableSet set;
  if (auto error = parse_ladder(in, n_ladder, set.ladder_)) return *error;
  for (unsigned i = 0; i < n_tables; ++i) {
    if (auto error = parse_table(in, i, set.tables_.emplace_back())) return *error;
  }
  for (unsigned i = 0; i < n_planes; ++i) {
    if (auto error = parse_plane(in, i, set.planes_.emplace_back())) return *error;
  }
  if (in.remaining() != 0)
    return refuse(ErrorKind::kCorrupt, "bytes stand between the last plane and the checksum", in.position());
  return set;
}

}  // namespace swathpack
