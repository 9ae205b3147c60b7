// Runs all test cases, or those whose name contains the first argument.
#include <cstring>

#include "check.h"

int main(int argc, char** argv) {
  using namespace swathpack::test;
  int n_run = 0;
  for (const TestCase& test : test_cases()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    const int before = n_failures();
    test.run();
    ++n_run;
    std::printf("%s  %s\n", n_failures() == before ? "ok    " : "FAILED", test.name);
  }
  std::printf("%d test cases, %d failed checks\n", n_run, n_failures());
  return n_failures() == 0 && n_run > 0 ? 0 : 1;
}
