// The matrices of the erasure code (swathpack/reed_solomon.h): what repairs, and what restores.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "swathpack/reed_solomon.h"

namespace swathpack {

// k · r is greatest for k + r = 255 and k = 127 or 128.
inline constexpr size_t kMaxCoefficients = 127 * 128;

// 1 / (x_i + y_j) for the repair symbols i < r (rows) and the source symbols j < k (columns).
void repair_matrix(unsigned k, unsigned r, uint8_t* coefficients);

// What gives lost source symbols back from k symbols that came.
struct Restoration {
  // inputs[j] is the index of the j-th symbol used: j itself, or the repair symbol that stands in for a lost
  // j.
  std::vector<uint8_t> inputs;
  std::vector<uint8_t> lost;          // indices of the lost source symbols, rising
  std::vector<uint8_t> coefficients;  // lost.size() × k
};

// inputs as above: k indices, of which the first k numbers stand in their own places and the others rise.
[[nodiscard]] Restoration make_restoration(const std::vector<uint8_t>& inputs);

// The same, kept for the patterns last asked for by this thread: a burst often takes the same symbols from
// one block as from the next. The reference holds until this thread's next call.
[[nodiscard]] const Restoration& restoration(const std::vector<uint8_t>& inputs);

}  // namespace swathpack
