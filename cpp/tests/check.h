// The test runner of the core: nothing to install. CHECK goes on after a failure and prints both sides.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace swathpack::test {

struct TestCase {
  const char* name;  // states the property
  void (*run)();
};

inline std::vector<TestCase>& test_cases() {
  static std::vector<TestCase> cases;
  return cases;
}

inline int& n_failures() {
  static int n = 0;
  return n;
}

struct Register {
  Register(const char* name, void (*run)()) { test_cases().push_back({name, run}); }
};

template <class T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (sizeof(T) == 1) {
    out << static_cast<int>(value);
  } else {
    out << value;
  }
  return out.str();
}

inline void fail(const char* file, int line, const std::string& what) {
  ++n_failures();
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

// SplitMix64: a fixed sequence for each seed on every machine, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(next() % n); }
  bool chance(uint32_t one_in) { return below(one_in) == 0; }

 private:
  uint64_t state_;
};

}  // namespace swathpack::test

#define SWATHPACK_JOIN2(a, b) a##b
#define SWATHPACK_JOIN(a, b) SWATHPACK_JOIN2(a, b)
#define TEST_CASE(name)                                                           \
  static void SWATHPACK_JOIN(test_case_, __LINE__)();                             \
  static const ::swathpack::test::Register SWATHPACK_JOIN(registered_, __LINE__)( \
      name, &SWATHPACK_JOIN(test_case_, __LINE__));                               \
  static void SWATHPACK_JOIN(test_case_, __LINE__)()
#define CHECK(condition)                                                                    \
  do {                                                                                      \
    if (!(condition)) ::swathpack::test::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)
#define CHECK_EQUAL(found, expected)                                                            \
  do {                                                                                          \
    const auto found_ = (found);                                                                \
    const auto expected_ = (expected);                                                          \
    if (!(found_ == expected_)) {                                                               \
      ::swathpack::test::fail(__FILE__, __LINE__,                                               \
                              #found " is " + ::swathpack::test::show(found_) + ", expected " + \
                                  ::swathpack::test::show(expected_));                          \
    }                                                                                           \
  } while (false)
