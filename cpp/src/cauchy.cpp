#include "cauchy.h"

namespace swathpack {
namespace {

// Logarithms to the base x (2), which generates the field's multiplicative group for 0x11D. The powers go
// round three times, so that a sum of two logarithms and the complement of a third needs no reduction.
struct Logarithms {
  std::array<uint8_t, 256> log{};
  std::array<uint8_t, 3 * 255> exp{};
  std::array<uint8_t, 256> inverse{};  // of 0: 0
  constexpr Logarithms() {
    unsigned element = 1;
    for (unsigned i = 0; i < 255; ++i) {
      exp[i] = exp[i + 255] = exp[i + 510] = static_cast<uint8_t>(element);
      log[element] = static_cast<uint8_t>(i);
      element = element << 1 ^ (element & 0x80 ? 0x11Du : 0u);
    }
    for (unsigned a = 1; a < 256; ++a) inverse[a] = exp[255u - log[a]];
  }
};
constexpr Logarithms kField;

unsigned log(unsigned a) { return kField.log[a]; }

}  // namespace

void repair_matrix(unsigned k, unsigned r, uint8_t* coefficients) {
  for (unsigned i = 0; i < r; ++i) {
    for (unsigned j = 0; j < k; ++j) *coefficients++ = kField.inverse[(k + i) ^ j];
  }
}

// With y_b the lost points, x_a the repair points used, z the point of an input of either kind, Cramer's rule
// and Cauchy's determinant give the coefficient of input z in lost symbol b in closed form,
//
//     F_b · W_z / (z + y_b),     F_b = Π_m (x_m + y_b) / Π_(m≠b) (y_m + y_b),
//                                W_z = Π_m (y_m + z)   / Π_(m: x_m≠z) (x_m + z).
//
// For z = x_a this is the inverse B_(b,a) of reed_solomon.h. For a source symbol z = y_j that came it is the
// quotient of two determinants: of the matrix with column b replaced by column y_j, and of the matrix.
Restoration make_restoration(const std::vector<uint8_t>& inputs) {
  const size_t k = inputs.size();
  Restoration made;
  made.inputs = inputs;
  std::vector<uint8_t> repair;
  for (size_t j = 0; j < k; ++j) {
    if (inputs[j] == j) continue;
    made.lost.push_back(static_cast<uint8_t>(j));
    repair.push_back(inputs[j]);
  }
  const size_t e = repair.size();
  std::vector<unsigned> of_lost(e), of_input(k);  // logarithms of F_b and W_z
  for (size_t b = 0; b < e; ++b) {
    const unsigned y = made.lost[b];
    unsigned sum = 0;
    for (const unsigned x : repair) sum += log(x ^ y);
    for (const unsigned other : made.lost) sum += other == y ? 0 : 255 - log(other ^ y);
    of_lost[b] = sum % 255;
  }
  for (size_t j = 0; j < k; ++j) {
    const unsigned z = inputs[j];
    unsigned sum = 0;
    for (const unsigned y : made.lost) sum += log(y ^ z);
    for (const unsigned x : repair) sum += x == z ? 0 : 255 - log(x ^ z);
    of_input[j] = sum % 255;
  }
  made.coefficients.resize(e * k);
  for (size_t b = 0; b < e; ++b) {
    for (size_t j = 0; j < k; ++j) {
      made.coefficients[b * k + j] =
          kField.exp[of_lost[b] + of_input[j] + 255 - log(unsigned{inputs[j]} ^ made.lost[b])];
    }
  }
  return made;
}

const Restoration& restoration(const std::vector<uint8_t>& inputs) {
  // At most 16.5 KiB each.
  constexpr size_t kKept = 8;
  struct Kept {
    std::array<Restoration, kKept> entries;
    size_t oldest = 0;
  };
  thread_local Kept kept;
  for (const Restoration& entry : kept.entries) {
    if (entry.inputs == inputs) return entry;
  }
  Restoration& place = kept.entries[kept.oldest];
  kept.oldest = (kept.oldest + 1) % kKept;
  place = make_restoration(inputs);
  return place;
}

}  // namespace swathpack
