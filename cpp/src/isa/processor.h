// What this processor, and the operating system on it, can run.
#pragma once

namespace swathpack {

struct Processor {
  bool avx2 = false;    // AVX2 with BMI1, BMI2, FMA, POPCNT and CRC32, and the system saves the ymm registers
  bool avx512 = false;  // also AVX-512 F, BW, DQ, VL, VBMI and VBMI2 (Ice Lake, Zen 4 and later), and zmm
                        // and mask registers are saved
  bool gfni = false;    // Galois-field instructions in the registers that the above grant
  bool neon = false;    // AArch64: Advanced SIMD is part of it
  bool crc32 = false;   // AArch64: the CRC-32 instructions; x86-64 has them with AVX2
};

// Asked once.
[[nodiscard]] const Processor& processor();

}  // namespace swathpack
