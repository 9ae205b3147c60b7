#include "isa/processor.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace swathpack {
namespace {

#if defined(__x86_64__)

// Which register states the operating system saves (Intel SDM volume 1, 13.3): without them an instruction
// that CPUID announces faults, or worse, loses its registers at the next task switch.
uint64_t saved_states() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

Processor ask() {
  constexpr uint64_t kYmm = 0x6,
                     kZmm = 0xE0;  // XCR0: SSE and AVX; opmask, upper halves of zmm 0–15, zmm 16–31
  Processor p;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return p;
  const auto has = [](unsigned word, unsigned bits) { return (word & bits) == bits; };
  if (!has(c, bit_OSXSAVE | bit_AVX)) return p;
  const uint64_t saved = saved_states();
  const bool basics = has(c, bit_POPCNT | bit_SSE4_2 | bit_FMA);
  unsigned b7 = 0, c7 = 0;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) return p;
  p.avx2 = basics && (saved & kYmm) == kYmm && has(b7, bit_AVX2 | bit_BMI | bit_BMI2);
  p.avx512 = p.avx2 && (saved & kZmm) == kZmm &&
             has(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
             has(c7, bit_AVX512VBMI | bit_AVX512VBMI2);
  p.gfni = p.avx2 && has(c7, bit_GFNI);
  return p;
}

#elif defined(__aarch64__)

Processor ask() {
  Processor p;
  p.neon = true;
#if defined(__linux__)
  p.crc32 = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#elif defined(__APPLE__)
  p.crc32 = true;
#endif
  return p;
}

#else

Processor ask() { return {}; }

#endif

}  // namespace

const Processor& processor() {
  static const Processor found = ask();
  return found;
}

}  // namespace swathpack
