// SHA-256 (FIPS 180-4), for the seal of a file (bitstream §4.6). It guards against accidents, not attackers:
// nothing here is secret.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace swathpack {

class Sha256 {
 public:
  void update(std::span<const uint8_t> data);
  [[nodiscard]] std::array<uint8_t, 32> digest() const;  // of all so far; updates may follow

 private:
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  uint64_t n_bytes_ = 0;
};

}  // namespace swathpack
