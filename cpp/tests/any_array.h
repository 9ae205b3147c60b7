// Arrays of any element type and order as bytes, for tests that go through all of them.
#pragma once

#include <array>
#include <string>

#include "cases.h"
#include "swathpack/isa.h"

namespace swathpack::test {

inline constexpr std::array kElementTypes = {ElementType::kInt8, ElementType::kInt16, ElementType::kFloat16,
                                             ElementType::kFloat32};
inline constexpr std::array kOrders = {Order::kTile, Order::kToken};

inline size_t element_bytes(ElementType type) {
  return type == ElementType::kInt8 ? 1 : type == ElementType::kFloat32 ? 4 : 2;
}

// Position in an array of `order` of the coefficient that stands at `i` in tile order.
inline size_t position(const Plane& plane, Order order, size_t i) {
  const size_t channels = plane.channels, n = plane.n_frequencies();
  if (order == Order::kTile) return i;
  return (i / n / channels * n + i % n) * channels + i / n % channels;
}

// What a decoder writes, in memory of exactly the size it was told. All bytes of values are kFill before,
// which no type has as a zero.
struct AnyTarget {
  static constexpr uint8_t kFill = 0x4D;

  AnyTarget(const Case& c, ElementType t, Order o) : type(t), order(o) { reset(c); }
  void reset(const Case& c) {
    values.assign(c.symbols.size() * element_bytes(type), kFill);
    token_mask.assign(c.token_mask.size(), 7);
    layers.assign(c.n_tiles, 0);
  }
  [[nodiscard]] DecodeTarget target() { return {values.data(), type, order, token_mask, layers}; }

  ElementType type;
  Order order;
  Buffer values, token_mask;
  std::vector<uint16_t> layers;
  bool operator==(const AnyTarget&) const = default;
};

// A refusal as one line; empty where there is none.
inline std::string refusal(const MaybeError& error) {
  return error ? std::string(kind_name(error->kind)) + ": " + error->what : std::string();
}

// What a refused record may leave behind: zeros in its layer and tiles, where that layer had not come before.
// `target` had kFill everywhere and layers as `before` says.
inline bool is_left_alone(const Case& c, const Buffer& record, const AnyTarget& target,
                          const std::vector<uint16_t>& before) {
  if (target.layers != before) return false;
  for (const uint8_t token : target.token_mask)
    if (token != 7) return false;
  const Buffer& values = target.values;
  if (values.front() == AnyTarget::kFill &&
      std::memcmp(values.data(), values.data() + 1, values.size() - 1) == 0)
    return true;  // all of it is as it was: the usual case, and a quick one
  uint64_t packed = 0;
  std::memcpy(&packed, record.data(), std::min<size_t>(8, record.size()));
  const RecordHeader h = RecordHeader::unpack(packed);
  const Plane& plane = c.plane();
  const size_t size = element_bytes(target.type), n = plane.n_frequencies();
  for (size_t i = 0; i < c.symbols.size(); ++i) {
    const uint8_t* const value = values.data() + position(plane, target.order, i) * size;
    bool is_filled = true, is_zero = true;
    for (size_t b = 0; b < size; ++b) {
      is_filled &= value[b] == AnyTarget::kFill;
      is_zero &= value[b] == 0;
    }
    if (is_filled) continue;
    const size_t tile = i / n / plane.channels, channel = i / n % plane.channels;
    const size_t cell = size_t{plane.band_of_frequency[i % n]} * plane.channels + channel;
    if (!is_zero || plane.layer_map[cell] != h.layer || tile < h.first_tile ||
        tile >= size_t{h.first_tile} + h.tile_count() || (before[tile] >> h.layer & 1) != 0)
      return false;
  }
  return true;
}

// Uses one instruction set until the end of the scope.
class OnIsa {
 public:
  explicit OnIsa(const std::string& name) : before_(isa_name()) {
    if (const auto error = set_isa(name)) fail(__FILE__, __LINE__, error->what);
  }
  ~OnIsa() { (void)set_isa(before_); }
  OnIsa(const OnIsa&) = delete;
  OnIsa& operator=(const OnIsa&) = delete;

 private:
  std::string before_;
};

}  // namespace swathpack::test
