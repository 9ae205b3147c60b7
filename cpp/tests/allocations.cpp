#include "allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#elif defined(__APPLE__)
#include <malloc/malloc.h>
#endif

namespace {

std::atomic<size_t> held{0}, most{0};

size_t size_of(void* block) {
#if defined(__GLIBC__)
  return malloc_usable_size(block);
#elif defined(__APPLE__)
  return malloc_size(block);
#else
  (void)block;
  return 0;
#endif
}

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  const size_t now = held.fetch_add(size_of(block), std::memory_order_relaxed) + size_of(block);
  size_t before = most.load(std::memory_order_relaxed);
  while (now > before && !most.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
  return block;
}

void release(void* block) {
  if (block == nullptr) return;
  held.fetch_sub(size_of(block), std::memory_order_relaxed);
  std::free(block);
}

void* aligned(size_t n, std::align_val_t alignment) {
  void* block = nullptr;
  if (posix_memalign(&block, static_cast<size_t>(alignment), n == 0 ? 1 : n) != 0) block = nullptr;
  return counted(block);
}

}  // namespace

void* operator new(size_t n) { return counted(std::malloc(n == 0 ? 1 : n)); }
void* operator new[](size_t n) { return counted(std::malloc(n == 0 ? 1 : n)); }
void* operator new(size_t n, std::align_val_t a) { return aligned(n, a); }
void* operator new[](size_t n, std::align_val_t a) { return aligned(n, a); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, size_t) noexcept { release(p); }
void operator delete[](void* p, size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { release(p); }

namespace swathpack::test {

bool allocations_are_counted() {
#if defined(__GLIBC__) || defined(__APPLE__)
  return true;
#else
  return false;
#endif
}

PeakMemory::PeakMemory() : before_(held.load()) { most.store(before_); }
size_t PeakMemory::bytes() const { return most.load() - before_; }

}  // namespace swathpack::test
