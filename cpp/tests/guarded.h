// Memory between two pages that nobody may touch: a byte read or written too many ends the process, in any
// build and from any instruction, vector loads of hand-written code among them.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace swathpack::test {

class Guarded {
 public:
  explicit Guarded(size_t capacity) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    size_ = (capacity + page_ - 1) / page_ * page_;
    void* const memory =
        mmap(nullptr, size_ + 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin_ = static_cast<uint8_t*>(memory) + page_;
    if (mprotect(begin_ - page_, page_, PROT_NONE) != 0 || mprotect(begin_ + size_, page_, PROT_NONE) != 0) {
      std::abort();
    }
  }
  ~Guarded() { munmap(begin_ - page_, size_ + 2 * page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // `n` bytes whose last one is the last before the guard, or whose first is the first behind the other one.
  [[nodiscard]] std::span<uint8_t> at_end(size_t n) { return {begin_ + size_ - checked(n), n}; }
  [[nodiscard]] std::span<uint8_t> at_begin(size_t n) { return {begin_, checked(n)}; }
  [[nodiscard]] std::span<uint8_t> at(bool end, size_t n) { return end ? at_end(n) : at_begin(n); }

  // A copy of bytes there.
  [[nodiscard]] std::span<uint8_t> copy(bool end, std::span<const uint8_t> bytes) {
    const auto place = at(end, bytes.size());
    if (!bytes.empty()) std::memcpy(place.data(), bytes.data(), bytes.size());
    return place;
  }

 private:
  [[nodiscard]] size_t checked(size_t n) const {
    if (n > size_) {
      std::fprintf(stderr, "a guarded buffer of %zu bytes is too small for %zu\n", size_, n);
      std::abort();
    }
    return n;
  }
  size_t page_, size_;
  uint8_t* begin_;
};

}  // namespace swathpack::test
