// Kernels::crc32c_register by the CRC32 instruction of SSE4.2, which every processor with AVX2 has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace swathpack {

[[nodiscard]] uint32_t crc32c_by_instruction(uint32_t state, const uint8_t* data, size_t n);

}  // namespace swathpack
