// The C functions when memory runs out: each allocation of each call fails once. A program of its own, as it
// replaces operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include "c_api_setup.h"

// GCC takes the operators below, where it has written them into their callers, for a mismatch of their own.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace {

constexpr long kNever = -1;
std::atomic<long> left{kNever};  // allocations that still succeed
std::atomic<long> held{0};       // blocks

}  // namespace

void* operator new(size_t n) {
  if (left.load() == 0) throw std::bad_alloc();
  if (left.load() > 0) --left;
  void* const block = std::malloc(n == 0 ? 1 : n);
  if (block == nullptr) throw std::bad_alloc();
  ++held;
  return block;
}
void operator delete(void* block) noexcept {
  if (block != nullptr) --held;
  std::free(block);
}
void operator delete(void* block, size_t) noexcept { operator delete(block); }

namespace swathpack::test {
namespace {

// Fails the first, second … allocation of call(error) until it succeeds; undo() takes back what it made then.
template <class Call, class Undo>
void fail_each(const char* name, Call call, Undo undo) {
  const auto run = [&](long succeed, swathpack_error* error) {
    left = succeed;
    const int status = call(error);
    left = kNever;
    return status;
  };
  CHECK_EQUAL(run(kNever, nullptr), 0);  // what is made once in a program's life
  undo();
  const long before = held;
  for (long n = 0; n < 100000; ++n) {
    swathpack_error error{};
    const int status = run(n, &error);
    if (status == SWATHPACK_OK) {
      undo();
      if (held != before) fail(__FILE__, __LINE__, std::string(name) + " keeps memory");
      return;
    }
    if (status != SWATHPACK_NO_MEMORY || error.status != status || held != before) {
      fail(__FILE__, __LINE__,
           std::string(name) + ", allocation " + std::to_string(n) + ": " + error.text + ", blocks kept " +
               std::to_string(held - before));
      return;
    }
  }
  fail(__FILE__, __LINE__, std::string(name) + " never succeeds");
}

TEST_CASE("out of memory, every C function says so and keeps nothing") {
  Setup s;
  const Buffer file = small_tables(), header = small_header();
  const auto headers = s.plan(0);
  std::vector<float> latents(s.values.size(), 1.5f);
  const swathpack_source floats = {
      latents.data(), 4 * latents.size(), SWATHPACK_FLOAT32, SWATHPACK_TOKEN_ORDER, nullptr, 0};
  const Buffer mask(24);
  swathpack_source masked = s.source;
  masked.token_mask = mask.data();
  masked.token_mask_size = mask.size();

  swathpack_tables* tables = nullptr;
  fail_each(
      "tables_parse",
      [&](swathpack_error* e) { return swathpack_tables_parse(file.data(), file.size(), &tables, e); },
      [&] { swathpack_tables_free(tables); });
  swathpack_plane* plane = nullptr;
  fail_each(
      "plane_from_header",
      [&](swathpack_error* e) {
        return swathpack_plane_from_header(s.tables, 0, header.data(), header.size(), &plane, e);
      },
      [&] { swathpack_plane_free(plane); });
  for (const swathpack_source* source : {&floats, static_cast<const swathpack_source*>(&masked)}) {
    std::vector<uint64_t> room(6);
    size_t n = 0, size = 0;
    fail_each(
        "plan",
        [&](swathpack_error* e) {
          return swathpack_plan(s.plane, source, 0, 0, 18, room.data(), room.size(), &n, e);
        },
        [] {});
    swathpack_records* records = nullptr;
    fail_each(
        "encode",
        [&](swathpack_error* e) {
          return swathpack_encode(s.plane, source, headers.data(), headers.size(), 1, &records, e);
        },
        [&] { swathpack_records_free(records); });
    std::vector<size_t> offsets(headers.size() + 1);
    Buffer out(1000);
    fail_each(
        "encode_into",
        [&](swathpack_error* e) {
          return swathpack_encode_into(s.plane, source, headers.data(), headers.size(), 1, out.data(),
                                       out.size(), offsets.data(), offsets.size(), &size, e);
        },
        [] {});
    std::vector<swathpack_bytes> all;
    for (size_t i = 0; i < headers.size(); ++i)
      all.push_back({&out[offsets[i]], offsets[i + 1] - offsets[i]});
    Target target(72, 24, 6);
    fail_each(
        "decode",
        [&](swathpack_error* e) {
          return swathpack_decode(s.plane, all.data(), all.size(), &target.raw, 1, nullptr, nullptr, e);
        },
        [] {});
    std::vector<swathpack_found> found(headers.size());
    fail_each(
        "scan",
        [&](swathpack_error* e) {
          return swathpack_scan(out.data(), size, 0, found.data(), found.size(), &n, e);
        },
        [] {});
    swathpack_file* nec = nullptr;
    const uint8_t* tail = nullptr;
    fail_each(
        "file_new, file_add and file_finish",
        [&](swathpack_error* e) {
          int status = swathpack_file_new(header.data(), header.size(), &nec, e);
          if (status == 0) status = swathpack_file_add(nec, all[0].data, all[0].size, e);
          if (status == 0) status = swathpack_file_finish(nec, &tail, &n, e);
          if (status != 0) swathpack_file_free(nec);
          return status;
        },
        [&] { swathpack_file_free(nec); });
  }
  std::vector<int16_t> symbols(latents.size());
  fail_each(
      "quantise",
      [&](swathpack_error* e) {
        return swathpack_quantise(s.plane, &floats, 0, symbols.data(), 2 * symbols.size(), e);
      },
      [] {});
}

TEST_CASE("a refusal without memory for its text is still a status") {
  left = 0;
  swathpack_error error{};
  size_t n = 0;
  const int with = swathpack_plane_n_tiles(nullptr, &n, &error),
            without = swathpack_plane_n_tiles(nullptr, &n, nullptr);
  left = kNever;
  // The text may need memory or not; in either case nothing else happens.
  CHECK(with == SWATHPACK_BAD_INPUT || with == SWATHPACK_NO_MEMORY);
  CHECK(without == SWATHPACK_BAD_INPUT || without == SWATHPACK_NO_MEMORY);
  CHECK(error.status == with && error.text[0] != 0);
}

}  // namespace
}  // namespace swathpack::test
