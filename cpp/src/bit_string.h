// Bit strings (bitstream §1): bits fill each byte from the least significant up, the last byte is padded with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bytes.h"

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
    const size_t byte = position_ >> 3;
    if (n <= 56 && data_.size() - byte >= 8) {
      const uint64_t value = load_u64(data_.data() + byte) >> (position_ & 7) & ((uint64_t{1} << n) - 1);
      position_ += n;
      return value;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < n; ++i) value |= uint64_t{bit()} << i;
    return value;
  }

  // Bits from here to the end of the bytes, padding included.
  [[nodiscard]] size_t remaining() const { return 8 * data_.size() - position_; }

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
  // The n ≤ 64 low bits of `value`, the lowest first.
  void put(uint64_t value, unsigned n) {
    if (n > 32) {
      put(value, 32);
      put(value >> 32, n - 32);
      return;
    }
    pending_ |= (value & ((uint64_t{1} << n) - 1)) << n_pending_;
    n_pending_ += n;
    for (; n_pending_ >= 8; n_pending_ -= 8, pending_ >>= 8) bytes_.push_back(static_cast<uint8_t>(pending_));
  }
  void append(const BitWriter& other) {
    for (const uint8_t byte : other.bytes_) put(byte, 8);
    put(other.pending_, other.n_pending_);
  }
  void clear() {
    bytes_.clear();
    pending_ = 0;
    n_pending_ = 0;
  }
  // Pads the last byte with zeros and gives the whole bit string; nothing is put behind it.
  [[nodiscard]] std::span<const uint8_t> finish() {
    if (n_pending_ > 0) bytes_.push_back(static_cast<uint8_t>(pending_));
    pending_ = 0;
    n_pending_ = 0;
    return bytes_;
  }
  [[nodiscard]] size_t n_bits() const { return 8 * bytes_.size() + n_pending_; }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t pending_ = 0;
  unsigned n_pending_ = 0;  // below 8 between calls
};

}  // namespace swathpack
