// The border between C callers and the core: handles, argument checks, and errors out of refusals and
// exceptions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "swathpack/c_api.h"
#include "swathpack/error.h"
#include "swathpack/records.h"
#include "swathpack/tables.h"

struct swathpack_tables {
  swathpack::TableSet set;
};

struct swathpack_plane {
  const swathpack::TableSet* tables;
  unsigned index;
  unsigned ladder_index;
  uint32_t n_tiles;
  std::vector<uint8_t> derived;      // n_tiles × tokens
  std::vector<uint8_t> nothing_set;  // n_tiles zeros: the tile mask of a source without masks

  [[nodiscard]] const swathpack::Plane& plane() const { return tables->planes()[index]; }
  [[nodiscard]] uint64_t n_values() const {
    return uint64_t{n_tiles} * plane().channels * plane().n_frequencies();
  }
  [[nodiscard]] uint64_t n_mask() const { return uint64_t{n_tiles} * plane().n_frequencies(); }
  [[nodiscard]] swathpack::PlaneContext context() const {
    return {tables, index, ladder_index, n_tiles, derived};
  }
};

namespace swathpack::c_api {

// Why a call gives no result.
struct Refusal {
  int status;
  Error error = {};
  std::optional<uint64_t> record = std::nullopt;

  Refusal(int s, Error e) : status(s), error(std::move(e)) {}
  Refusal(Error e, std::optional<uint64_t> r = std::nullopt);  // NOLINT: implicit on purpose
};
using MaybeRefusal = std::optional<Refusal>;

// A refused argument.
[[nodiscard]] Refusal bad(std::string what, std::string expected = {}, std::string found = {});
[[nodiscard]] Refusal small_buffer(const char* name, uint64_t needed, uint64_t capacity);

// Writes `error` where there is one, and gives its status. Allocates, and so may throw.
int report(swathpack_error* error, const MaybeRefusal& refusal);

// The same inside a catch block, for the exception in flight.
int report_exception(swathpack_error* error) noexcept;

// Runs body() → MaybeRefusal for a C caller: nothing gets out but a status.
template <class Body>
int guarded(swathpack_error* error, Body body) noexcept {
  try {
    return report(error, body());
  } catch (...) {
    return report_exception(error);
  }
}

// Refuses a NULL, or a pointer misaligned for T.
template <class T>
[[nodiscard]] MaybeRefusal check_pointer(const char* name, const T* pointer) {
  if (pointer == nullptr) return bad(std::string(name) + " is NULL");
  if constexpr (requires { alignof(T); }) {
    if (reinterpret_cast<uintptr_t>(pointer) % alignof(T) != 0) {
      return bad(std::string(name) + " is misaligned", "a multiple of " + std::to_string(alignof(T)));
    }
  }
  return std::nullopt;
}

// The same for arrays, which may be NULL when they are empty.
template <class T>
[[nodiscard]] MaybeRefusal check_array(const char* name, const T* pointer, size_t n) {
  if (n == 0) return std::nullopt;
  return check_pointer(name, pointer);
}

[[nodiscard]] inline std::span<const uint8_t> as_bytes(const void* data, size_t size) {
  return {static_cast<const uint8_t*>(data), size};
}

// The first refusal of several.
template <class... Rest>
[[nodiscard]] MaybeRefusal first_of(MaybeRefusal first, Rest... rest) {
  if constexpr (sizeof...(rest) == 0) {
    return first;
  } else {
    return first ? std::move(first) : first_of(std::move(rest)...);
  }
}

// Type, order, alignment and size of an array of all coefficients of a plane.
[[nodiscard]] MaybeRefusal check_values(const swathpack_plane& plane, const void* values, size_t size,
                                        int type, int order);
[[nodiscard]] MaybeRefusal check_threads(unsigned threads);

// The masks of a source as the core takes them: which tokens are invalid, and in which tiles all own ones
// are.
class SourceMasks {
 public:
  // `token_mask` may be NULL; both must outlive the masks.
  [[nodiscard]] MaybeRefusal open(const swathpack_plane& plane, const uint8_t* token_mask, size_t size);
  [[nodiscard]] std::span<const uint8_t> tiles() const { return tiles_; }
  [[nodiscard]] std::span<const uint8_t> tokens() const { return tokens_; }

 private:
  std::vector<uint8_t> own_;
  std::span<const uint8_t> tiles_, tokens_;
};

}  // namespace swathpack::c_api
