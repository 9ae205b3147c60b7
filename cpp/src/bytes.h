// Explicit little-endian loads and stores (bitstream §1), and a reader that carries its end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace swathpack {

[[nodiscard]] inline uint32_t load_u16(const uint8_t* p) { return uint32_t{p[0]} | uint32_t{p[1]} << 8; }
[[nodiscard]] inline uint32_t load_u32(const uint8_t* p) { return load_u16(p) | load_u16(p + 2) << 16; }
[[nodiscard]] inline uint64_t load_u64(const uint8_t* p) {
  return uint64_t{load_u32(p)} | uint64_t{load_u32(p + 4)} << 32;
}

inline void store_u64(uint8_t* p, uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

template <class Bytes>
void append_le(Bytes& out, uint64_t value, unsigned n_bytes) {
  for (unsigned i = 0; i < n_bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// Reads forward; once it has run out every read gives 0 and overrun() stays true, so that a parser may read a
// group of fields and ask once. It never reads past the span.
class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> data) : data_(data) {}

  [[nodiscard]] uint8_t u8() {
    const auto s = take(1);
    return s.empty() ? uint8_t{0} : s[0];
  }
  [[nodiscard]] uint16_t u16() {
    const auto s = take(2);
    return s.empty() ? uint16_t{0} : static_cast<uint16_t>(load_u16(s.data()));
  }
  [[nodiscard]] uint32_t u32() {
    const auto s = take(4);
    return s.empty() ? 0u : load_u32(s.data());
  }
  [[nodiscard]] float f32() { return std::bit_cast<float>(u32()); }

  // The next n bytes, or an empty span (and overrun) when fewer remain.
  [[nodiscard]] std::span<const uint8_t> take(size_t n) {
    if (n > remaining()) {
      overrun_ = true;
      position_ = data_.size();
      return {};
    }
    const auto s = data_.subspan(position_, n);
    position_ += n;
    return s;
  }

  [[nodiscard]] size_t position() const { return position_; }
  [[nodiscard]] size_t remaining() const { return data_.size() - position_; }
  [[nodiscard]] bool overrun() const { return overrun_; }

 private:
  std::span<const uint8_t> data_;
  size_t position_ = 0;
  bool overrun_ = false;
};

}  // namespace swathpack
