// Any indices are refused or give the block back; refusals leave nothing to read. Every back end makes the
// same repair symbols.
#include "cauchy.h"
#include "input.h"
#include "isa/gf256.h"
#include "swathpack/reed_solomon.h"

using namespace swathpack;

namespace {

// The definition of the repair symbols, by each back end.
void require_equal_back_ends(const test::Buffer& source, unsigned k, unsigned r, size_t symbol_size,
                             const test::Buffer& repair) {
  test::Buffer coefficients(size_t{k} * r);
  repair_matrix(k, r, coefficients.data());
  std::vector<const uint8_t*> sources;
  for (unsigned j = 0; j < k; ++j) sources.push_back(source.data() + j * symbol_size);
  for (const Gf256Kernels* kernels : gf256_back_ends()) {
    test::Buffer other(repair.size(), 0x5A);
    std::vector<uint8_t*> targets;
    for (unsigned i = 0; i < r; ++i) targets.push_back(other.data() + i * symbol_size);
    kernels->product(targets.data(), r, sources.data(), k, coefficients.data(), symbol_size);
    fuzz::require(other == repair, kernels->name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const unsigned k = in.byte(), r = in.byte();
  const unsigned wide = in.byte();
  const size_t symbol_size = wide < 192 ? wide % 20 : wide;  // mostly small blocks: they are quick
  const unsigned n_received = in.number() % 300;
  std::vector<int64_t> indices;
  for (unsigned i = 0; i < n_received; ++i) {
    indices.push_back(in.empty() ? static_cast<int64_t>(i) : static_cast<int8_t>(in.byte()) + 120);
  }
  test::Buffer source(k * symbol_size), repair(r * symbol_size);
  for (uint8_t& b : source) b = in.byte();
  const bool encoded = !rs_encode(source, k, r, symbol_size, repair);
  if (encoded) require_equal_back_ends(source, k, r, symbol_size, repair);
  test::Buffer all = source, received;
  all.insert(all.end(), repair.begin(), repair.end());
  bool genuine = encoded;
  for (const int64_t index : indices) {
    const bool known = index >= 0 && static_cast<uint64_t>(index) < k + r;
    genuine &= known;
    const auto from = all.begin() + (known ? index * static_cast<ptrdiff_t>(symbol_size) : 0);
    if (known) {
      received.insert(received.end(), from, from + static_cast<ptrdiff_t>(symbol_size));
    } else {
      received.resize(received.size() + symbol_size, 0x5A);
    }
  }
  test::Buffer out(k * symbol_size);
  if (!rs_decode(received, indices, k, symbol_size, out) && genuine) {
    fuzz::require(out == source, "genuine symbols give the block back");
  }
  return 0;
}
