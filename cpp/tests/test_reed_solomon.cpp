// The erasure code: every back end against arithmetic from the definition and against the scalar one, at the
// ends of buffers; its matrices; what it refuses.
#include <limits>

#include "cases.h"
#include "cauchy.h"
#include "isa/gf256.h"
#include "swathpack/isa.h"
#include "swathpack/reed_solomon.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace swathpack::test {
namespace {

// Product of polynomials, then the remainder by x^8 + x^4 + x^3 + x^2 + 1: the definition, bit by bit.
uint8_t times(unsigned a, unsigned b) {
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit) product ^= (b >> bit & 1) ? a << bit : 0;
  for (unsigned bit = 14; bit >= 8; --bit) product ^= (product >> bit & 1) ? 0x11Du << (bit - 8) : 0;
  return static_cast<uint8_t>(product);
}

uint8_t inverse_of(unsigned a) {
  for (unsigned b = 1; b < 256; ++b) {
    if (times(a, b) == 1) return static_cast<uint8_t>(b);
  }
  return 0;
}

// Sizes around every vector width and tile and around the scalar back end's pieces, and the usual symbol.
constexpr size_t kSizes[] = {0,  1,  2,   15,  16,  17,  31,  32,  33,  47,  48,   63,   64,   65,  95,
                             96, 97, 127, 128, 129, 191, 192, 255, 257, 960, 1000, 1024, 1025, 2100};

TEST_CASE("all products of two bytes are those of the definition, on every back end") {
  Buffer every(256), target(256), expected(256);
  for (unsigned v = 0; v < 256; ++v) every[v] = static_cast<uint8_t>(v);
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned v = 0; v < 256; ++v) expected[v] = times(c, v);
    for (const Gf256Kernels* kernels : gf256_back_ends()) {
      uint8_t* const targets[] = {target.data()};
      const uint8_t* const sources[] = {every.data()};
      const auto coefficient = static_cast<uint8_t>(c);
      kernels->product(targets, 1, sources, 1, &coefficient, 256);
      if (target != expected) {
        fail(__FILE__, __LINE__, std::string(kernels->name) + ": products by " + std::to_string(c));
      }
    }
  }
}

// One product of random shape. Every symbol lies alone in a buffer of exactly its size behind `shift` bytes,
// so that AddressSanitizer sees a byte too many.
struct Product {
  Product(Random& random, size_t size, unsigned n_targets, unsigned n_sources)
      : n(size), coefficients(size_t{n_targets} * n_sources), targets(n_targets), sources(n_sources) {
    for (uint8_t& c : coefficients) c = static_cast<uint8_t>(random.chance(8) ? 0 : random.next());
    for (Buffer& source : sources) {
      source.resize(shift(random) + n);
      for (uint8_t& byte : source) byte = static_cast<uint8_t>(random.next());
    }
    for (Buffer& target : targets) target.assign(shift(random) + n, 0xAA);
  }
  static size_t shift(Random& random) { return random.below(70); }

  // The targets, each with the bytes before it.
  std::vector<Buffer> run(const Gf256Kernels& kernels) const {
    std::vector<Buffer> out = targets;
    std::vector<uint8_t*> to;
    std::vector<const uint8_t*> from;
    for (Buffer& target : out) to.push_back(target.data() + (target.size() - n));
    for (const Buffer& source : sources) from.push_back(source.data() + (source.size() - n));
    kernels.product(to.data(), static_cast<unsigned>(to.size()), from.data(),
                    static_cast<unsigned>(from.size()), coefficients.data(), n);
    return out;
  }

  size_t n;
  Buffer coefficients;
  std::vector<Buffer> targets, sources;
};

TEST_CASE("every back end gives the scalar one's bytes for any size, alignment and number of rows") {
  Random random(20);
  for (const size_t size : kSizes) {
    for (int i = 0; i < 24; ++i) {
      const unsigned n_targets = random.below(i % 6 == 0 ? 60 : 16);
      const Product product(random, size, n_targets, random.below(i % 8 == 0 ? 255 : 20));
      const auto expected = product.run(kGf256Scalar);
      for (const Gf256Kernels* kernels : gf256_back_ends()) {
        if (product.run(*kernels) != expected) {
          fail(__FILE__, __LINE__,
               std::string(kernels->name) + " differs: " + std::to_string(size) + " bytes, " +
                   std::to_string(n_targets) + " × " + std::to_string(product.sources.size()));
        }
      }
    }
  }
}

TEST_CASE("the scalar product is the sum of the products of the definition") {
  Random random(21);
  for (int i = 0; i < 20; ++i) {
    const Product product(random, i % 5 == 0 ? 1000 + random.below(100) : random.below(40),
                          1 + random.below(20), random.below(9));
    const auto out = product.run(kGf256Scalar);
    for (size_t t = 0; t < out.size(); ++t) {
      Buffer expected = product.targets[t];
      const size_t before = expected.size() - product.n, k = product.sources.size();
      for (size_t b = 0; b < product.n; ++b) {
        uint8_t sum = 0;
        for (size_t j = 0; j < k; ++j) {
          const Buffer& source = product.sources[j];
          sum ^= times(product.coefficients[t * k + j], source[source.size() - product.n + b]);
        }
        expected[before + b] = sum;
      }
      CHECK(out[t] == expected);
    }
  }
}

TEST_CASE("the erasure code uses the instruction set of the coder, also when that is changed") {
  const std::string before = isa_name();
  for (const std::string& isa : isa_names()) {
    CHECK(!set_isa(isa));
    const std::string used = gf256_kernels().name;
    CHECK_EQUAL(used.substr(0, used.find('-')), isa);
    bool listed = false;
    for (const Gf256Kernels* k : gf256_back_ends()) listed |= k == &gf256_kernels();
    CHECK(listed);
  }
  CHECK(!set_isa(before));
}

#if defined(__unix__) || defined(__APPLE__)
// Readable and writable pages between two that are not; a byte outside ends the process.
class GuardedPages {
 public:
  explicit GuardedPages(size_t n) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    inner_ = (n + page_ - 1) / page_ * page_;
    void* const at = mmap(nullptr, inner_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    base_ = static_cast<uint8_t*>(at);
    if (mprotect(base_ + page_, inner_, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  ~GuardedPages() { munmap(base_, inner_ + 2 * page_); }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;
  [[nodiscard]] uint8_t* begin() const { return base_ + page_; }
  [[nodiscard]] uint8_t* end() const { return begin() + inner_; }

 private:
  size_t page_, inner_ = 0;
  uint8_t* base_ = nullptr;
};

TEST_CASE("no back end reads or writes a byte outside its symbols") {
  const GuardedPages from(4096), to(4096);
  Random random(22);
  for (const size_t size : kSizes) {
    for (const bool at_end : {false, true}) {
      uint8_t* const source = at_end ? from.end() - size : from.begin();
      uint8_t* const target = at_end ? to.end() - size : to.begin();
      for (size_t b = 0; b < size; ++b) source[b] = static_cast<uint8_t>(random.next());
      const uint8_t coefficient = 0x53;
      for (const Gf256Kernels* kernels : gf256_back_ends()) {
        kernels->product(&target, 1, &source, 1, &coefficient, size);
        for (size_t b = 0; b < size; ++b) CHECK_EQUAL(target[b], times(coefficient, source[b]));
      }
    }
  }
}
#endif

TEST_CASE("what restores a block is the inverse of what made its symbols") {
  Random random(23);
  for (int i = 0; i < 60; ++i) {
    const unsigned k = 1 + random.below(i % 10 == 0 ? 254 : 40);
    const unsigned r = random.below(std::min(256 - k, 50u));
    Buffer repairs(size_t{r} * k);
    repair_matrix(k, r, repairs.data());
    for (unsigned p = 0; p < r; ++p) {
      for (unsigned j = 0; j < k; ++j) CHECK_EQUAL(repairs[p * k + j], inverse_of((k + p) ^ j));
    }
    // Some repair symbols in the places of some sources.
    Buffer inputs(k);
    unsigned next = k;
    for (unsigned j = 0; j < k; ++j) {
      next += random.below(2);
      inputs[j] = static_cast<uint8_t>(next < k + r && random.chance(3) ? next++ : j);
    }
    const Restoration made = make_restoration(inputs);
    const size_t e = made.lost.size();
    CHECK_EQUAL(made.coefficients.size(), e * k);
    for (size_t b = 0; b < e; ++b) {
      for (unsigned j = 0; j < k; ++j) {  // the share of source j in what is said to be source lost[b]
        unsigned share = 0;
        for (unsigned z = 0; z < k; ++z) {
          const unsigned made_of = inputs[z] < k ? inputs[z] == j : repairs[(inputs[z] - k) * k + j];
          share ^= times(made.coefficients[b * k + z], made_of);
        }
        CHECK_EQUAL(share, unsigned{j == made.lost[b]});
      }
    }
  }
}

TEST_CASE("restorations that are kept are those that would be made") {
  Random random(24);
  std::vector<Buffer> patterns;
  for (int i = 0; i < 20; ++i) {
    Buffer inputs(1 + random.below(12));
    uint8_t next = static_cast<uint8_t>(inputs.size());
    for (size_t j = 0; j < inputs.size(); ++j) {
      inputs[j] = static_cast<uint8_t>(random.chance(2) ? next++ : j);
    }
    patterns.push_back(inputs);
  }
  for (int i = 0; i < 500; ++i) {
    const Buffer& inputs = patterns[random.below(i % 2 == 0 ? 20 : 5)];
    const Restoration& kept = restoration(inputs);
    const Restoration made = make_restoration(inputs);
    CHECK(kept.inputs == inputs && kept.lost == made.lost && kept.coefficients == made.coefficients);
  }
}

TEST_CASE("a block gives itself back when all its repair symbols are needed, whatever its symbol size") {
  Random random(25);
  for (const size_t size : kSizes) {
    const unsigned k = 64, r = 13;
    Buffer source(k * size), repair(r * size), received, out(k * size, 0x55);
    for (uint8_t& byte : source) byte = static_cast<uint8_t>(random.next());
    CHECK(!rs_encode(source, k, r, size, repair));
    std::vector<int64_t> indices;
    const unsigned first = random.below(k - r);  // a burst
    for (unsigned i = 0; i < k + r; ++i) {
      const unsigned index = (i * 30 + 7) % (k + r);  // 30 and 77 have no common factor: each once
      if (index >= first && index < first + r) continue;
      indices.push_back(index);
      const Buffer& from = index < k ? source : repair;
      const auto at = from.begin() + static_cast<ptrdiff_t>((index < k ? index : index - k) * size);
      received.insert(received.end(), at, at + static_cast<ptrdiff_t>(size));
    }
    CHECK_EQUAL(indices.size(), size_t{k});
    CHECK(!rs_decode(received, indices, k, size, out));
    CHECK(out == source);
  }
}

void refused(const MaybeError& error) {
  CHECK(error.has_value());
  if (error) CHECK(error->kind == ErrorKind::kBadInput);
}

TEST_CASE("counts, sizes and indices that cannot be are refused, also where their products wrap round") {
  constexpr unsigned kHuge = std::numeric_limits<unsigned>::max();
  constexpr size_t kHalf = size_t{1} << (std::numeric_limits<size_t>::digits - 1);
  Buffer buffer(8);
  const std::span<uint8_t> none;
  refused(rs_encode(none, 0, 1, 0, none));
  refused(rs_encode(none, 2, kHuge, 0, none));  // k + r = 1
  refused(rs_encode(none, kHuge, 2, 0, none));
  refused(rs_encode(none, 255, 1, 0, none));
  refused(rs_encode(none, 2, 0, kHalf, none));  // 2 · size = 0
  refused(rs_encode(buffer, 2, 1, 3, none));
  refused(rs_encode(buffer, 2, 1, 4, none));
  refused(rs_encode(buffer, 2, 0, 4, buffer));
  const auto decode = [&](std::vector<int64_t> indices, unsigned k, size_t size) {
    Buffer out(k * size);
    const Buffer symbols(indices.size() * size);
    return rs_decode(symbols, indices, k, size, out);
  };
  refused(decode({0, 1}, 3, 4));
  refused(decode({5, 5}, 2, 4));
  refused(decode({0, 255}, 2, 4));
  refused(decode({0, -1}, 2, 4));
  refused(decode({0, std::numeric_limits<int64_t>::min()}, 2, 0));
  refused(decode({0, std::numeric_limits<int64_t>::max()}, 2, 0));
  refused(decode({}, 0, 4));
  refused(decode({}, 1, 4));
  const std::vector<int64_t> two = {0, 1};
  refused(rs_decode(none, two, 2, kHalf, none));
  refused(rs_decode(buffer, two, 2, 4, none));
  refused(rs_decode(none, two, 2, 4, buffer));
}

}  // namespace
}  // namespace swathpack::test
