// Bit strings (bitstream §1): bits fill each byte from the least significant up, the last byte is padded with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace swathpack {

// Reads one bit string. Past the end it gives zeros and overrun() stays true.
class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> data) : data_(data) {}

  [[nodiscard]] uint32_t bit() {
    const size_t byte = position_ >> 3;
    if (byte >= data_.size()) {
      overrun_ = true;
      return 0;
    }
    const uint32_t value = (data_[byte] >> (position_ & 7)) & 1u;
    ++position_;
    return value;
  }

  // n ≤ 64 bits, the first one lowest.
  [[nodiscard]] uint64_t bits(unsigned n) {
    uint64_t value = 0;
    for (unsigned i = 0; i < n; ++i) value |= uint64_t{bit()} << i;
    return value;
  }

  [[nodiscard]] bool overrun() const { return overrun_; }
  [[nodiscard]] size_t bytes_used() const { return (position_ + 7) >> 3; }

  // Whether the unused bits of the last byte touched are zero.
  [[nodiscard]] bool padding_is_zero() const {
    const unsigned used = position_ & 7;
    return used == 0 || data_[position_ >> 3] >> used == 0;
  }

 private:
  std::span<const uint8_t> data_;
  size_t position_ = 0;  // bits
  bool overrun_ = false;
};

class BitWriter {
 public:
  void put(uint64_t value, unsigned n_bits) {
    for (unsigned i = 0; i < n_bits; ++i) {
      if ((n_bits_ & 7) == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<uint8_t>(bytes_.back() | ((value >> i) & 1u) << (n_bits_ & 7));
      ++n_bits_;
    }
  }
  void append(const BitWriter& other) {
    for (size_t i = 0; i < other.n_bits_; ++i) put(other.bytes_[i >> 3] >> (i & 7), 1);
  }
  void clear() {
    bytes_.clear();
    n_bits_ = 0;
  }
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }
  [[nodiscard]] size_t n_bits() const { return n_bits_; }

 private:
  std::vector<uint8_t> bytes_;
  size_t n_bits_ = 0;
};

}  // namespace swathpack
