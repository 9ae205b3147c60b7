// Records of several lanes (bitstream §5.5): a block of a lane group at a time, put in its place as soon as
// it is decoded.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "bytes.h"
#include "decode_work.h"
#include "reconstruction.h"

namespace swathpack {
namespace {

template <class From, class To, class Convert>
void place(const From* rows, size_t width, const Steps& steps, const Layout& layout, To* target,
           Convert convert) {
  const size_t lanes = steps.runs.size();
  const bool in_one_piece = layout.channel == 1 && steps.channels_are_consecutive();
  const size_t first_channel = steps.runs.front().channel;
  steps.each_tile([&](uint32_t tile, std::span<const uint16_t> band, uint32_t row) {
    To* const base = target + tile * layout.tile;
    const From* from = rows + row * width;
    if (in_one_piece) {
      for (const uint16_t f : band) {
        To* const to = base + f * layout.frequency + first_channel;
        for (size_t lane = 0; lane < lanes; ++lane) to[lane] = convert(from[lane], lane);
        from += width;
      }
      return;
    }
    for (size_t lane = 0; lane < lanes; ++lane) {
      To* const to = base + steps.runs[lane].channel * layout.channel;
      for (size_t i = 0; i < band.size(); ++i)
        to[band[i] * layout.frequency] = convert(from[i * width + lane], lane);
    }
  });
}

// The reconstruction points of each lane of a group.
struct Points {
  std::array<float, kMaxLanes> r1, r2;
  explicit Points(const LaneTables& t) {
    for (size_t lane = 0; lane < t.lanes; ++lane) {
      r1[lane] = t.tables[lane]->r1;
      r2[lane] = t.tables[lane]->r2;
    }
  }
};

}  // namespace

MaybeError RecordDecoder::Work::place_block(const LaneGroup& group, ValueType type, const Steps& steps) {
  const size_t width = group.tables.width;
  const auto put = [&]<class From, class To>(const From* from, To* target_values, auto convert) {
    place(from, width, steps, layout, target_values, convert);
  };
  const auto as_it_is = [](auto value, size_t) { return value; };
  switch (target.type) {
    case ElementType::kInt8: {
      auto* const out = static_cast<int8_t*>(target.symbols);
      if (type == ValueType::kInt8) {
        put(reinterpret_cast<const int8_t*>(block.data()), out, as_it_is);
        return std::nullopt;
      }
      if (auto error = check_int8_block(group, steps)) return error;
      const auto* const wide = reinterpret_cast<const int16_t*>(block.data());
      put(wide, out, [](int16_t value, size_t) { return static_cast<int8_t>(value); });
      return std::nullopt;
    }
    case ElementType::kInt16:
      put(reinterpret_cast<const int16_t*>(block.data()), static_cast<int16_t*>(target.symbols), as_it_is);
      return std::nullopt;
    case ElementType::kFloat16:
      if (type == ValueType::kWide) {
        if (auto error = halve_block(group, steps)) return error;
        put(half_block.data(), static_cast<uint16_t*>(target.symbols), as_it_is);
        return std::nullopt;
      }
      put(reinterpret_cast<const uint16_t*>(block.data()), static_cast<uint16_t*>(target.symbols), as_it_is);
      return std::nullopt;
    case ElementType::kFloat32:
      break;
  }
  const Points points(group.tables);
  const auto reconstruct = kernels().reconstruct_row;
  float_block.resize(kBlockValues);
  const auto* const symbols = reinterpret_cast<const int16_t*>(block.data());
  for (size_t s = 0; s < steps.n; ++s) {
    reconstruct(symbols + s * width, points.r1.data(), points.r2.data(), step_width(), group.tables.lanes,
                float_block.data() + s * width);
  }
  put(float_block.data(), static_cast<float*>(target.symbols), as_it_is);
  return std::nullopt;
}

// Whether a block of int16 fits an int8 target.
MaybeError RecordDecoder::Work::check_int8_block(const LaneGroup& group, const Steps& steps) {
  const size_t width = group.tables.width, n = steps.n * width;
  const auto* const wide = reinterpret_cast<const int16_t*>(block.data());
  int outside = 0;
  for (size_t i = 0; i < n; ++i) outside |= wide[i] + 128;
  if ((outside & ~255) == 0) return std::nullopt;
  for (uint32_t s = 0; s < steps.n; ++s) {
    for (size_t lane = 0; lane < group.tables.lanes; ++lane) {
      const int value = wide[s * width + lane];
      // Its sign may be still to come: 128 may turn out to be −128.
      if (value == 128) {
        too_large.push_back(element(steps, s, lane));
        // No more of them than there are signs to come.
        if (too_large.size() > 16 * size_t{header.lanes()}) return check_value(value, 0);
      } else if (auto error = check_value(value, 0)) {
        return error;
      }
    }
  }
  return std::nullopt;
}

// A block of int16 to float16, in a block of its own: a wide group has too many values to keep a row of each.
MaybeError RecordDecoder::Work::halve_block(const LaneGroup& group, const Steps& steps) {
  const size_t width = group.tables.width, lanes = group.tables.lanes;
  const Points points(group.tables);
  const auto reconstruct = kernels().reconstruct_half_row;
  half_block.resize(kBlockValues);
  const auto* const symbols = reinterpret_cast<const int16_t*>(block.data());
  for (size_t s = 0; s < steps.n; ++s) {
    const int16_t* const row = symbols + s * width;
    if (!reconstruct(row, points.r1.data(), points.r2.data(), step_width(), lanes,
                     half_block.data() + s * width))
      continue;
    for (size_t lane = 0; lane < lanes; ++lane) {
      if (auto error = check_value(row[lane], steps.runs[lane].level)) return error;
    }
  }
  return std::nullopt;
}

size_t RecordDecoder::Work::element(const Steps& steps, uint32_t row, size_t lane) const {
  const uint32_t step = steps.first + row;
  const size_t tile = steps.tiles[step / steps.band.size()], f = steps.band[step % steps.band.size()];
  return tile * layout.tile + steps.runs[lane].channel * layout.channel + f * layout.frequency;
}

void RecordDecoder::Work::list_escapes(const LaneGroup& group, const Steps& steps, const EscapeStep& found) {
  const auto* const row = static_cast<const int16_t*>(row_pointers[found.step]);
  for (size_t half = 0; half < 2; ++half) {
    for (uint64_t lanes = found.lanes[half]; lanes != 0; lanes &= lanes - 1) {
      const size_t lane = 64 * half + static_cast<size_t>(std::countr_zero(lanes));
      const int least = group.is_wide ? std::abs(int{row[lane]}) : group.tables.last[lane];
      escapes.push_back(
          {element(steps, found.step, lane), steps.runs[lane].level, static_cast<int16_t>(least)});
    }
  }
}

MaybeError RecordDecoder::Work::begin_lanes() {
  const unsigned lanes = header.lanes();
  if (payload.size() - at < size_t{4} * lanes)
    return corrupt("the payload ends in the states", in_record(payload.size()));
  for (unsigned lane = 0; lane < lanes; ++lane, at += 4) {
    lane_states[lane] = load_u32(payload.data() + at);
    if (lane_states[lane] < 65536) return corrupt("a lane's state is below 65536", in_record(at));
  }
  // The rest, and behind it zeros for the signs that the start states will say at the end.
  n_rest = payload.size() - at;
  const size_t n_late = 2 * size_t{lanes}, n_stream = n_rest + n_late + 2 * kStreamSlack;
  if (stream_bytes.size() < n_stream) stream_bytes.resize(n_stream);
  rest = stream_bytes.data() + kStreamSlack;
  std::copy_n(payload.data() + at, n_rest, rest);
  std::fill_n(rest + n_rest, n_late, uint8_t{0});
  stream = {rest, rest + n_rest + n_late};
  escapes.clear();
  too_large.clear();
  return std::nullopt;
}

MaybeError RecordDecoder::Work::decode_groups(std::span<Work* const> works) {
  const Work& first = *works[0];
  const ElementType target_type = first.target.type;
  const auto kernel = kernels().decode_lanes;
  std::array<LaneJob, 2> jobs;
  std::array<Steps, 2> steps;
  LaneGroups& groups = first.lane_groups();
  for (size_t g = 0; g < groups.size(); ++g) {
    const LaneGroup& group = groups.at(g);
    const LaneTables& t = group.tables;
    const ValueType type = group.is_wide                                                ? ValueType::kWide
                           : target_type == ElementType::kFloat16                       ? ValueType::kFloat16
                           : target_type == ElementType::kInt8 && t.n_thresholds <= 127 ? ValueType::kInt8
                                                                                        : ValueType::kInt16;
    const size_t value_bytes = type == ValueType::kInt8 ? 1 : 2;
    const auto most = static_cast<uint32_t>(kBlockValues / t.width);
    // Vectors write whole rows: straight into the target where it has such rows, else into a block.
    const bool fits = target_type == ElementType::kInt16 ||
                      (target_type == ElementType::kFloat16 && type == ValueType::kFloat16) ||
                      (target_type == ElementType::kInt8 && type == ValueType::kInt8);
    const bool is_direct = fits && t.lanes == t.width && first.steps_of(group).are_rows(first.layout);
    for (size_t i = 0; i < works.size(); ++i) {
      Work& w = *works[i];
      steps[i] = w.steps_of(group);
      w.escape_steps.resize(most);
      w.row_pointers.resize(most + kRowsAhead, nullptr);
      jobs[i] = {w.lane_states.data(), &w.stream, w.row_pointers.data(), w.escape_steps.data(), 0};
      if (is_direct) continue;
      w.block.resize(2 * kBlockValues);
      for (size_t s = 0; s < most; ++s) w.row_pointers[s] = w.block.data() + s * t.width * value_bytes;
    }
    const uint32_t n_steps = steps[0].n;
    for (uint32_t step = 0; step < n_steps; step += most) {
      const uint32_t n = std::min(most, n_steps - step);
      for (size_t i = 0; i < works.size(); ++i) {
        steps[i].first = step;
        steps[i].n = n;
        jobs[i].n_escapes = 0;
        if (!is_direct) continue;
        steps[i].rows(static_cast<uint8_t*>(first.target.symbols), value_bytes, first.layout,
                      works[i]->row_pointers.data());
      }
      if (kernel(t, n, type, jobs.data(), static_cast<unsigned>(works.size())) != n) {
        return corrupt("the words end before the symbols", in_record(first.payload.size()));
      }
      for (size_t i = 0; i < works.size(); ++i) {
        Work& w = *works[i];
        for (size_t found = 0; found < jobs[i].n_escapes; ++found)
          w.list_escapes(group, steps[i], w.escape_steps[found]);
        if (w.escapes.size() > 8 * w.n_rest)  // each has a bit in the escape string
          return corrupt("more escapes than bits for them", in_record(w.payload.size()));
        if (is_direct) continue;
        if (auto error = w.place_block(group, type, steps[i])) return error;
      }
    }
  }
  return std::nullopt;
}

MaybeError RecordDecoder::Work::finish_lanes() {
  const size_t n_first = 16 * size_t{header.lanes()};
  const uint8_t* const first_sign = rest + n_rest + n_first / 8;
  const size_t n_signs = 8 * static_cast<size_t>(first_sign - stream.top) + stream.used;
  const size_t n_behind = n_signs > n_first ? n_signs - n_first : 0, n_sign_bytes = (n_behind + 7) / 8;
  const auto n_words = static_cast<size_t>(stream.next - rest);
  if (n_words + n_sign_bytes > n_rest)
    return corrupt("the words end before the symbols", in_record(payload.size()));
  if (n_behind % 8 != 0 && rest[n_rest - n_sign_bytes] >> n_behind % 8 != 0)
    return corrupt("the padding after the signs is not zero", in_record(payload.size() - n_sign_bytes));
  if (auto error = apply_first_signs(n_signs)) return error;
  return read_escapes(std::span(rest, n_rest).subspan(n_words, n_rest - n_words - n_sign_bytes),
                      at + n_words);
}

// The first signs, which stand in the start states: the values have been decoded without.
MaybeError RecordDecoder::Work::apply_first_signs(size_t n_signs) {
  const auto states = std::span(lane_states).first(header.lanes());
  for (const uint32_t x : states) {
    if (x < 65536 || x > 131071) return corrupt("a lane does not end in a start state", in_record(0));
  }
  const auto bit = [&](size_t i) { return states[i / 16] >> i % 16 & 1; };
  const size_t n_first = std::min(n_signs, 16 * states.size());
  for (size_t i = n_first; i < 16 * states.size(); ++i) {
    if (bit(i)) return corrupt("a start state has a sign too many", in_record(0));
  }
  switch (target.type) {
    case ElementType::kInt8:
      negate_first<int8_t>(n_first, bit, [this](int8_t& value) {
        if (value == -128) {  // 128 so far, see place_block()
          std::erase(too_large, static_cast<size_t>(&value - static_cast<int8_t*>(target.symbols)));
        } else {
          value = static_cast<int8_t>(-value);
        }
      });
      if (!too_large.empty()) return check_value(128, 0);
      break;
    case ElementType::kInt16:
      negate_first<int16_t>(n_first, bit, [](int16_t& value) { value = static_cast<int16_t>(-value); });
      break;
    case ElementType::kFloat16:
      negate_first<uint16_t>(n_first, bit, [](uint16_t& value) { value ^= 0x8000; });
      break;
    case ElementType::kFloat32:
      negate_first<float>(n_first, bit, [](float& value) { value = -value; });
      break;
  }
  return std::nullopt;
}

template <class Element, class Bit, class Negate>
void RecordDecoder::Work::negate_first(size_t n, Bit bit, Negate negate) {
  size_t i = 0;
  LaneGroups& groups = lane_groups();
  for (size_t g = 0; g < groups.size() && i < n; ++g) {
    const LaneGroup& group = groups.at(g);
    const Steps steps = steps_of(group);
    const bool are_rows = steps.are_rows(layout);
    for (uint32_t s = 0; s < steps.n; ++s) {
      if (i == n) return;
      const size_t lanes = group.tables.lanes;
      Element* const row = static_cast<Element*>(target.symbols) + element(steps, s, 0);
      for (size_t lane = 0; lane < lanes;) {
        constexpr size_t kPerWord = 8 / sizeof(Element);
        uint64_t word = 1;
        if (are_rows && lane + kPerWord <= lanes) std::memcpy(&word, row + lane, 8);
        if (word == 0) {
          lane += kPerWord;
          continue;
        }
        Element& value =
            are_rows ? row[lane] : static_cast<Element*>(target.symbols)[element(steps, s, lane)];
        ++lane;
        if (value == 0) continue;
        if (bit(i)) negate(value);
        if (++i == n) return;
      }
    }
  }
}

MaybeError RecordDecoder::Work::read_escapes(std::span<const uint8_t> bytes, size_t escapes_at) {
  BitReader bits(bytes);
  for (const Escape& escape : escapes) {
    const int32_t v = take_exp_golomb(bits);
    if (bits.overrun()) return corrupt("the payload ends in the escapes", in_record(escapes_at));
    const Table& table = context.tables->tables()[escape.level];
    const int32_t magnitude = escape.least + v * (1 << table.low_bits);
    if (v < 0 || magnitude > static_cast<int32_t>(kMaxMagnitude))
      return corrupt("an escape is too large", in_record(escapes_at));
    // The value of v = 0 stands in its place, with its sign.
    const auto replace = [&]<class Element>(Element* values, auto is_negative, auto convert) -> MaybeError {
      Element& value = values[escape.element];
      const int symbol = is_negative(value) ? -magnitude : magnitude;
      if (auto error = check_value(symbol, escape.level)) return error;
      value = convert(symbol);
      return std::nullopt;
    };
    const auto below_zero = [](auto value) { return value < 0; };
    const auto real = [&](int symbol) { return value_of(table, step_width(), symbol); };
    MaybeError error;
    switch (target.type) {
      case ElementType::kInt8:
        error = replace(static_cast<int8_t*>(target.symbols), below_zero,
                        [](int s) { return static_cast<int8_t>(s); });
        break;
      case ElementType::kInt16:
        error = replace(static_cast<int16_t*>(target.symbols), below_zero,
                        [](int s) { return static_cast<int16_t>(s); });
        break;
      case ElementType::kFloat16:
        error = replace(
            static_cast<uint16_t*>(target.symbols), [](uint16_t bits16) { return bits16 >> 15 != 0; },
            [&](int s) { return half_of(real(s)); });
        break;
      case ElementType::kFloat32:
        error = replace(
            static_cast<float*>(target.symbols), [](float value) { return std::signbit(value); }, real);
        break;
    }
    if (error) return error;
  }
  if (!bits.padding_is_zero())
    return corrupt("the padding after the escapes is not zero", in_record(escapes_at));
  if (bits.bytes_used() != bytes.size()) return corrupt("bytes are left over", in_record(escapes_at));
  return std::nullopt;
}

}  // namespace swathpack
