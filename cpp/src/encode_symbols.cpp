// From a caller's array to words, signs and escapes (bitstream §5.2 to §5.5): forward over all symbols to
// collect what stands beside the words, then backward, since rANS is a stack.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "encode_work.h"

namespace swathpack {
namespace {

template <class Element>
void gather_rows(const Element* source, const Layout& layout, const Steps& steps, size_t width, auto* rows) {
  const size_t lanes = steps.runs.size(), first_channel = steps.runs.front().channel;
  const bool in_one_piece = layout.channel == 1 && steps.channels_are_consecutive();
  steps.each_tile([&](uint32_t tile, std::span<const uint16_t> band, uint32_t row) {
    const Element* const base = source + tile * layout.tile;
    auto* to = rows + row * width;
    if (in_one_piece) {
      for (const uint16_t f : band) {
        const Element* const from = base + f * layout.frequency + first_channel;
        for (size_t lane = 0; lane < lanes; ++lane) to[lane] = from[lane];
        to += width;
      }
      return;
    }
    for (size_t lane = 0; lane < lanes; ++lane) {
      const Element* const from = base + steps.runs[lane].channel * layout.channel;
      for (size_t i = 0; i < band.size(); ++i) to[i * width + lane] = from[band[i] * layout.frequency];
    }
  });
}

// Whether a stretch has a symbol that is not 0, or a latent that is not a number.
template <class Element>
bool any_wrong(const Element* values, size_t n) {
  if constexpr (std::is_same_v<Element, float>) {
    bool any = false;
    for (size_t i = 0; i < n; ++i) any |= values[i] != values[i];
    return any;
  } else {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values);
    n *= sizeof(Element);
    uint64_t any = 0;
    for (; n >= 8; bytes += 8, n -= 8) {
      uint64_t word;
      std::memcpy(&word, bytes, 8);
      any |= word;
    }
    for (; n > 0; --n) any |= *bytes++;
    return any != 0;
  }
}

Error not_a_number(uint32_t tile, unsigned channel) {
  return bad("a latent of tile " + std::to_string(tile) + ", channel " + std::to_string(channel) +
                 " is not a number",
             "finite values", "NaN",
             "look for NaN pixels or weights before the encoder; mark unmeasured pixels invalid instead");
}

}  // namespace

// A non-zero symbol whose table has no threshold cannot be written; losing it in silence would be worse. The
// quantiser makes zeros there.
MaybeError RecordEncoder::Work::check_silent(const LayerPlan& plan) const {
  const auto look = [&]<class Element>(const Element* array) -> MaybeError {
    const auto is_wrong = [](Element value) {
      if constexpr (std::is_same_v<Element, float>) return value != value;
      return value != 0;
    };
    for (const uint32_t tile : live) {
      const Element* const base = array + tile * layout.tile;
      for (const LayerPlan::Range& range : plan.silent) {
        size_t wrong = layout.tile;
        each_stretch(range, plane.band(range.band), layout.channel, layout.frequency,
                     [&](size_t first, size_t n) {
                       const bool any = any_wrong(base + first, n);
                       for (size_t i = first; any && i < first + n; ++i) {
                         if (is_wrong(base[i])) wrong = std::min(wrong, i);
                       }
                     });
        if (wrong == layout.tile) continue;
        const size_t channel = wrong / layout.channel % plane.channels,
                     f = wrong / layout.frequency % plane.n_frequencies();
        if constexpr (std::is_same_v<Element, float>)
          return not_a_number(tile, static_cast<unsigned>(channel));
        const unsigned level =
            context.tables->level(plane.class_map[size_t{range.band} * plane.channels + channel], e);
        return bad("a symbol of tile " + std::to_string(tile) + ", channel " + std::to_string(channel) +
                       ", frequency " + std::to_string(f) + " has a table without thresholds (level " +
                       std::to_string(level) + ")",
                   "0", std::to_string(base[wrong]), "quantise it to 0");
      }
    }
    return std::nullopt;
  };
  if (source.type == ElementType::kInt8) return look(static_cast<const int8_t*>(source.symbols));
  if (source.type == ElementType::kInt16) return look(static_cast<const int16_t*>(source.symbols));
  return look(static_cast<const float*>(source.symbols));
}

MaybeError RecordEncoder::Work::quantise(const Steps& steps, size_t width) {
  gather_rows(static_cast<const float*>(source.symbols), layout, steps, width, latents.data());
  std::array<float, kMaxLanes> theta;
  const size_t lanes = steps.runs.size();
  for (size_t lane = 0; lane < lanes; ++lane)
    theta[lane] = context.tables->tables()[steps.runs[lane].level].theta;
  const float inv_step = 1.0f / context.tables->ladder()[e];
  const auto quantise_row = kernels().quantise_row;
  bool is_nan = false;
  if (width == 1) {
    // One lane: a row is a single symbol, so the block is taken as one long row.
    std::array<float, 64> same;
    same.fill(theta[0]);
    for (size_t i = 0; i < steps.n; i += same.size()) {
      is_nan |= quantise_row(latents.data() + i, inv_step, same.data(), std::min(same.size(), steps.n - i),
                             block.data() + i);
    }
  } else {
    for (size_t s = 0; s < steps.n; ++s) {
      is_nan |=
          quantise_row(latents.data() + s * width, inv_step, theta.data(), lanes, block.data() + s * width);
    }
  }
  if (!is_nan) return std::nullopt;
  for (size_t i = 0;; ++i) {
    if (i % width >= lanes || latents[i] == latents[i]) continue;
    return not_a_number(steps.tiles[(steps.first + i / width) / steps.band.size()],
                        steps.runs[i % width].channel);
  }
}

MaybeError RecordEncoder::Work::gather(const Steps& steps, size_t width) {
  switch (source.type) {
    case ElementType::kInt8:
      gather_rows(static_cast<const int8_t*>(source.symbols), layout, steps, width, block.data());
      return std::nullopt;
    case ElementType::kInt16:
      gather_rows(static_cast<const int16_t*>(source.symbols), layout, steps, width, block.data());
      return std::nullopt;
    case ElementType::kFloat32:
      return quantise(steps, width);
    case ElementType::kFloat16:
      break;
  }
  return bad("float16 is not encoded", "int8, int16 or float32", "float16", "convert it to float32");
}

Steps RecordEncoder::Work::steps_of(const LayerPlan& plan, size_t first, size_t end) const {
  return {std::span(plan.coded).subspan(first, end - first), plane.band(plan.coded[first].band), live, 0, 0};
}

MaybeError RecordEncoder::Work::put_escape(int value, const Table& table) {
  if (value == -32768) {
    return bad("a symbol lies outside what the format can say", "-32767 to 32767", "-32768");
  }
  const unsigned code = table.index_of(static_cast<unsigned>(std::abs(value))) - table.n_thresholds + 1;
  const unsigned n = static_cast<unsigned>(std::bit_width(code)) - 1;
  escapes.put(0, n);
  escapes.put(1, 1);
  escapes.put(code, n);  // without its leading one, least significant first
  ++n_escapes;
  return std::nullopt;
}

MaybeError RecordEncoder::Work::collect_one_lane(const LayerPlan& plan) {
  signs.clear();
  escapes.clear();
  symbols.clear();
  low_bits.clear();
  first_signs = 0;
  n_nonzeros = n_escapes = 0;
  for (size_t first = 0; first < plan.coded.size(); ++first) {
    Steps steps = steps_of(plan, first, first + 1);
    const auto n_steps = static_cast<uint32_t>(live.size() * steps.band.size());
    const Table& table = context.tables->tables()[plan.coded[first].level];
    for (; steps.first < n_steps; steps.first += steps.n) {
      steps.n = std::min(static_cast<uint32_t>(kBlockValues), n_steps - steps.first);
      if (auto error = gather(steps, 1)) return error;
      const size_t begin = symbols.size();
      symbols.resize(begin + steps.n);  // zeros
      if (table.low_bits != 0) low_bits.resize(begin + steps.n);
      for (size_t i = 0; i < steps.n; ++i) {
        const int value = block[i];
        if (value == 0) continue;
        const unsigned is_negative = value < 0;
        if (n_nonzeros < 16) {
          first_signs |= is_negative << (15 - n_nonzeros);
        } else {
          signs.put(is_negative, 1);
        }
        ++n_nonzeros;
        const auto magnitude = static_cast<unsigned>(std::abs(value));
        const unsigned k = table.index_of(magnitude);
        symbols[begin + i] = static_cast<uint8_t>(std::min(k, table.n_thresholds));
        if (table.low_bits != 0) low_bits[begin + i] = static_cast<uint8_t>(table.rest_of(magnitude));
        if (k >= table.n_thresholds) {
          if (auto error = put_escape(value, table)) return error;
        }
      }
      if (signs.n_bits() + escapes.n_bits() > size_t{8} * kMaxPayloadBytes) return too_long();
    }
  }
  return std::nullopt;
}

MaybeError RecordEncoder::Work::collect_lanes(LaneGroups& all, const LayerPlan& plan) {
  const auto collect = kernels().collect_lanes;
  const ValueType type = source.type == ElementType::kInt8 ? ValueType::kInt8 : ValueType::kInt16;
  escapes.clear();
  n_escapes = 0;
  n_sign_bits = 0;
  size_t n_symbols = 0;
  for (size_t g = 0; g < all.size(); ++g) {
    const LaneGroup& group = all.at(g);
    const size_t begin = n_symbols;
    const size_t row_bytes = group.row_bytes();
    n_symbols += plane.band(plan.coded[group.first].band).size() * live.size() * row_bytes;
    if (symbols.size() < n_symbols) symbols.resize(n_symbols);
    uint8_t* out = symbols.data() + begin;
    Steps steps = steps_of(plan, group.first, group.end);
    const size_t width = group.tables.width;
    const auto n_steps = static_cast<uint32_t>(live.size() * steps.band.size());
    const auto most = static_cast<uint32_t>(kBlockValues / width);
    escape_steps.resize(most);
    // Vectors read whole rows: straight from the source where it has such rows, else from a gathered block.
    const bool is_direct =
        (source.type == ElementType::kInt16 || (source.type == ElementType::kInt8 && !group.is_wide)) &&
        group.tables.lanes == width && steps.are_rows(layout);
    row_pointers.resize(most + kRowsAhead, nullptr);
    if (!is_direct) {
      for (size_t s = 0; s < most; ++s) row_pointers[s] = block.data() + s * width;
    }
    for (; steps.first < n_steps; steps.first += steps.n) {
      steps.n = std::min(most, n_steps - steps.first);
      if (is_direct) {
        steps.rows(static_cast<const uint8_t*>(source.symbols), type == ValueType::kInt8 ? 1 : 2, layout,
                   row_pointers.data());
      } else if (auto error = gather(steps, width)) {
        return error;
      }
      const size_t sign_bytes_needed = (n_sign_bits + kBlockValues) / 8 + 16;
      if (sign_bytes.size() < sign_bytes_needed) sign_bytes.resize(2 * sign_bytes_needed);
      size_t n_found = 0;
      const ValueType row_type = group.is_wide ? ValueType::kWide : is_direct ? type : ValueType::kInt16;
      collect(group.tables, steps.n, row_type, row_pointers.data(), out, sign_bytes.data(), n_sign_bits,
              escape_steps.data(), &n_found);
      out += steps.n * row_bytes;
      for (size_t i = 0; i < n_found; ++i) {
        const EscapeStep& found = escape_steps[i];
        for (size_t half = 0; half < 2; ++half) {
          for (uint64_t lanes = found.lanes[half]; lanes != 0; lanes &= lanes - 1) {
            const size_t lane = 64 * half + static_cast<size_t>(std::countr_zero(lanes));
            const void* const row = row_pointers[found.step];
            const int value = row_type == ValueType::kInt8 ? static_cast<const int8_t*>(row)[lane]
                                                           : static_cast<const int16_t*>(row)[lane];
            if (auto error = put_escape(value, *group.tables.tables[lane])) return error;
          }
        }
      }
      if (n_sign_bits + escapes.n_bits() > size_t{8} * kMaxPayloadBytes) return too_long();
    }
  }
  n_collected = n_symbols;
  return std::nullopt;
}

// 16 sign bits to each start state. Behind the last sign there are zeros.
void RecordEncoder::Work::take_first_signs(std::span<uint32_t> states) const {
  for (size_t lane = 0; lane < states.size(); ++lane) {
    for (size_t byte = 2 * lane; byte < 2 * lane + 2; ++byte) {
      if (8 * byte < n_sign_bits) states[lane] |= uint32_t{sign_bytes[byte]} << 8 * (byte % 2);
    }
  }
}

MaybeError RecordEncoder::Work::encode_one_lane(const LayerPlan& plan, uint32_t& state, uint16_t*& top) {
  const auto encode_run = kernels().encode_run;
  const uint8_t* end = symbols.data() + symbols.size();
  for (size_t r = plan.coded.size(); r-- > 0;) {
    const Run& run = plan.coded[r];
    size_t left = live.size() * plane.band(run.band).size();
    while (left > 0) {
      const size_t n = std::min(left, kBlockValues);
      if (static_cast<size_t>(top - words.data()) < kWordSlack) return too_long();
      end -= n;
      const Table& table = context.tables->tables()[run.level];
      const uint8_t* const low = table.low_bits != 0 ? low_bits.data() + (end - symbols.data()) : nullptr;
      encode_run(table, n, end, low, state, top);
      left -= n;
    }
  }
  return std::nullopt;
}

MaybeError RecordEncoder::Work::encode_lanes(LaneGroups& all, const LayerPlan& plan, uint32_t* states,
                                             uint16_t*& top) {
  const auto encode = kernels().encode_lanes;
  size_t end = n_collected;
  for (size_t g = all.size(); g-- > 0;) {
    const LaneGroup& group = all.at(g);
    const LaneTables& t = group.tables;
    const size_t most = kBlockValues / t.width;
    size_t left = plane.band(plan.coded[group.first].band).size() * live.size();
    while (left > 0) {
      const size_t steps = std::min(left, most);
      if (static_cast<size_t>(top - words.data()) < kWordSlack) return too_long();
      end -= steps * group.row_bytes();
      encode(t, static_cast<uint32_t>(steps), symbols.data() + end, states, top);
      left -= steps;
    }
  }
  return std::nullopt;
}

}  // namespace swathpack
