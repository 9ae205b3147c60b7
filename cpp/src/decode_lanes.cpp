// Records of several lanes (bitstream §5.5): a block of a lane group at a time, put in its place as soon as
// it is decoded.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "bytes.h"
#include "decode_work.h"
#include "reconstruction.h"

namespace swathpack {
namespace {

// The last bytes of a payload, with room on both sides for what vectors load beyond it.
class Tail {
 public:
  // Moves what is left of the stream in here.
  void take(LaneStream& stream) {
    const auto n = static_cast<size_t>(stream.top - stream.next);
    bytes_.fill(0);
    std::memcpy(bytes_.data() + kStreamSlack, stream.next, n);
    stream.next = bytes_.data() + kStreamSlack;
    stream.top = stream.next + n;
    stream.gap = 0;
  }

 private:
  std::array<uint8_t, 3 * static_cast<size_t>(kStreamGap)> bytes_;
};

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
      const auto* const wide = reinterpret_cast<const int16_t*>(block.data());
      for (uint32_t s = 0; s < steps.n; ++s) {
        for (size_t lane = 0; lane < group.tables.lanes; ++lane) {
          if (auto error = check_value(wide[s * width + lane], 0)) return error;
        }
      }
      put(wide, out, [](int16_t value, size_t) { return static_cast<int8_t>(value); });
      return std::nullopt;
    }
    case ElementType::kInt16:
      put(reinterpret_cast<const int16_t*>(block.data()), static_cast<int16_t*>(target.symbols), as_it_is);
      return std::nullopt;
    case ElementType::kFloat16:
      put(reinterpret_cast<const uint16_t*>(block.data()), static_cast<uint16_t*>(target.symbols), as_it_is);
      return std::nullopt;
    case ElementType::kFloat32:
      break;
  }
  std::array<float, kMaxLanes> r1, r2;
  for (size_t lane = 0; lane < group.tables.lanes; ++lane) {
    r1[lane] = group.tables.tables[lane]->r1;
    r2[lane] = group.tables.tables[lane]->r2;
  }
  const float step = step_width();
  // As value_of(), but without branches.
  put(reinterpret_cast<const int16_t*>(block.data()), static_cast<float*>(target.symbols),
      [&](int16_t symbol, size_t lane) {
        const int magnitude = symbol < 0 ? -symbol : symbol;
        const float above = static_cast<float>(magnitude) + r2[lane];
        const float value = step * (magnitude == 0 ? 0.0f : magnitude == 1 ? r1[lane] : above);
        return symbol < 0 ? -value : value;
      });
  return std::nullopt;
}

// The places of a step's escapes in the target, and their signs as the kernel has decoded them.
void RecordDecoder::Work::list_escapes(ValueType type, const Steps& steps, const EscapeStep& found) {
  const uint32_t step = steps.first + found.step;
  const size_t tile = steps.tiles[step / steps.band.size()], f = steps.band[step % steps.band.size()];
  const void* const row = row_pointers[found.step];
  for (size_t half = 0; half < 2; ++half) {
    for (uint64_t lanes = found.lanes[half]; lanes != 0; lanes &= lanes - 1) {
      const size_t lane = 64 * half + static_cast<size_t>(std::countr_zero(lanes));
      const bool is_negative = type == ValueType::kInt8 ? static_cast<const int8_t*>(row)[lane] < 0
                                                        : static_cast<const int16_t*>(row)[lane] < 0;
      const Run& run = steps.runs[lane];
      escapes.push_back(
          {tile * layout.tile + run.channel * layout.channel + f * layout.frequency, run.level, is_negative});
    }
  }
}

MaybeError RecordDecoder::Work::read_lanes(const LayerPlan& plan, size_t at, bool is_trial) {
  const unsigned lanes = header.lanes();
  std::array<uint32_t, kMaxLanes> states;
  if (payload.size() - at < size_t{4} * lanes)
    return corrupt("the payload ends in the states", in_record(payload.size()));
  for (unsigned lane = 0; lane < lanes; ++lane, at += 4) {
    states[lane] = load_u32(payload.data() + at);
    if (states[lane] < 65536) return corrupt("a lane's state is below 65536", in_record(at));
  }

  LaneStream stream{payload.data() + at, payload.data() + payload.size(), 0, kStreamGap};
  Tail tail;
  const auto decode_lanes = kernels().decode_lanes;
  const size_t most_escapes = 8 * payload.size();  // each has a bit in the escape string
  escapes.clear();
  const float half_step = target.type == ElementType::kFloat16 ? step_width() : 0;
  for (const LaneGroup& group : groups.at(*context.tables, plan, header.layer, e, lanes, half_step)) {
    const LaneTables& t = group.tables;
    const ValueType type = target.type == ElementType::kFloat16                         ? ValueType::kFloat16
                           : target.type == ElementType::kInt8 && t.n_thresholds <= 127 ? ValueType::kInt8
                                                                                        : ValueType::kInt16;
    const size_t value_bytes = type == ValueType::kInt8 ? 1 : 2;
    Steps steps{std::span(plan.coded).subspan(group.first, group.end - group.first),
                plane.band(plan.coded[group.first].band), live, 0, 0};
    if (type == ValueType::kFloat16) {
      for (const Run& run : steps.runs) {
        if (auto error =
                check_value(static_cast<int>(context.tables->tables()[run.level].n_thresholds), run.level))
          return error;
      }
    }
    const auto n_steps = static_cast<uint32_t>(live.size() * steps.band.size());
    const auto most = static_cast<uint32_t>(kBlockValues / t.width);
    escape_steps.resize(most);
    // Vectors write whole rows: straight into the target where it has such rows, else into a block.
    const bool fits =
        target.type != ElementType::kFloat32 && (target.type != ElementType::kInt8 || value_bytes == 1);
    const bool is_direct = !is_trial && fits && t.lanes == t.width && steps.are_rows(layout);
    row_pointers.resize(most + kRowsAhead, nullptr);
    if (!is_direct) {
      for (size_t s = 0; s < most; ++s) row_pointers[s] = block.data() + s * t.width * value_bytes;
    }
    for (; steps.first < n_steps; steps.first += steps.n) {
      steps.n = std::min(most, n_steps - steps.first);
      if (is_direct) {
        steps.rows(static_cast<uint8_t*>(target.symbols), value_bytes, layout, row_pointers.data());
      }
      size_t n_escapes = 0;
      steps.n = decode_lanes(t, steps.n, states.data(), stream, type, row_pointers.data(),
                             escape_steps.data(), &n_escapes);
      if (steps.n == 0) {
        if (stream.gap == 0) return corrupt("the words end before the symbols", in_record(payload.size()));
        tail.take(stream);
        continue;
      }
      for (size_t i = 0; i < n_escapes; ++i) list_escapes(type, steps, escape_steps[i]);
      if (escapes.size() > most_escapes)
        return corrupt("more escapes than bits for them", in_record(payload.size()));
      if (is_trial || is_direct) continue;
      if (auto error = place_block(group, type, steps)) return error;
    }
  }

  const uint8_t* const signs = stream.top - (stream.used != 0);  // the last byte of the sign string
  if (signs < stream.next) return corrupt("the words end before the symbols", in_record(payload.size()));
  if (stream.gap != 0) {
    at = static_cast<size_t>(stream.next - payload.data());
  } else {
    at = payload.size();  // about: the rest was moved
  }
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (states[lane] != 65536) return corrupt("a lane does not end in its start state", in_record(at));
  }
  if (stream.used != 0 && *signs >> stream.used != 0)
    return corrupt("the padding after the signs is not zero", in_record(at));
  return read_escapes(std::span(stream.next, signs), at, is_trial);
}

MaybeError RecordDecoder::Work::read_escapes(std::span<const uint8_t> bytes, size_t at, bool is_trial) {
  BitReader bits(bytes);
  for (const Escape& escape : escapes) {
    const int32_t v = take_exp_golomb(bits);
    if (bits.overrun()) return corrupt("the payload ends in the escapes", in_record(at));
    const Table& table = context.tables->tables()[escape.level];
    const int32_t magnitude = static_cast<int32_t>(table.n_thresholds) + v;
    if (v < 0 || magnitude > 32767) return corrupt("an escape is too large", in_record(at));
    const int symbol = escape.is_negative ? -magnitude : magnitude;
    if (auto error = check_value(symbol, escape.level)) return error;
    if (is_trial) continue;
    switch (target.type) {
      case ElementType::kInt8:
        static_cast<int8_t*>(target.symbols)[escape.element] = static_cast<int8_t>(symbol);
        break;
      case ElementType::kInt16:
        static_cast<int16_t*>(target.symbols)[escape.element] = static_cast<int16_t>(symbol);
        break;
      case ElementType::kFloat16:
        static_cast<uint16_t*>(target.symbols)[escape.element] =
            half_of(value_of(table, step_width(), symbol));
        break;
      case ElementType::kFloat32:
        static_cast<float*>(target.symbols)[escape.element] = value_of(table, step_width(), symbol);
        break;
    }
  }
  if (!bits.padding_is_zero()) return corrupt("the padding after the escapes is not zero", in_record(at));
  if (bits.bytes_used() != bytes.size()) return corrupt("bytes are left over", in_record(at));
  return std::nullopt;
}

}  // namespace swathpack
