#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "isa/kernels.h"
#include "isa/processor.h"
#include "swathpack/isa.h"

namespace swathpack {
namespace {

std::vector<const Kernels*> ask() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  if (processor().avx512) found.push_back(&kAvx512Kernels);
  if (processor().avx2) found.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
  if (processor().neon) found.push_back(&kNeonKernels);
#endif
  found.push_back(&kScalarKernels);
  return found;
}

struct Choice {
  std::atomic<const Kernels*> kernels;
  MaybeError error;
};

Result<const Kernels*> find(const std::string& name) {
  std::string known;
  for (const Kernels* k : runnable_kernels()) {
    if (name == k->name) return k;
    known += (known.empty() ? "" : ", ") + std::string(k->name);
  }
  return Error{ErrorKind::kBadInput,
               "this build or processor lacks the instruction set",
               std::nullopt,
               known,
               name,
               "name one of these, or unset SWATHPACK_ISA"};
}

Choice& choice() {
  static Choice chosen{runnable_kernels().front(), std::nullopt};
  static const bool once = [] {
    const char* wanted = std::getenv("SWATHPACK_ISA");
    if (wanted == nullptr || *wanted == '\0') return true;
    auto found = find(wanted);
    chosen.kernels = found.ok() ? found.value() : &kScalarKernels;
    if (!found.ok()) chosen.error = found.error();
    return true;
  }();
  (void)once;
  return chosen;
}

}  // namespace

std::span<const Kernels* const> runnable_kernels() {
  static const std::vector<const Kernels*> found = ask();
  return found;
}
const Kernels& kernels() { return *choice().kernels.load(std::memory_order_relaxed); }
const char* isa_name() { return kernels().name; }
MaybeError isa_error() { return choice().error; }

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Kernels* k : runnable_kernels()) names.emplace_back(k->name);
  return names;
}

MaybeError set_isa(const std::string& name) {
  auto found = find(name);
  if (!found.ok()) return found.error();
  choice().kernels = found.value();
  return std::nullopt;
}

}  // namespace swathpack
