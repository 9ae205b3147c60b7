#include "c_api_guard.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

namespace swathpack::c_api {
namespace {

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTruncated:
      return SWATHPACK_TRUNCATED;
    case ErrorKind::kCorrupt:
      return SWATHPACK_CORRUPT;
    case ErrorKind::kUnsupported:
      return SWATHPACK_UNSUPPORTED;
    case ErrorKind::kLimit:
      return SWATHPACK_LIMIT;
    case ErrorKind::kBadInput:
      return SWATHPACK_BAD_INPUT;
  }
  return SWATHPACK_INTERNAL;
}

// As many whole UTF-8 characters as fit, and a NUL.
void copy_text(char (&to)[SWATHPACK_TEXT_BYTES], const char* text, size_t n) {
  if (n >= sizeof to) {
    n = sizeof to - 1;
    while (n > 0 && (static_cast<uint8_t>(text[n]) & 0xC0) == 0x80) --n;
  }
  std::memcpy(to, text, n);
  std::memset(to + n, 0, sizeof to - n);
}

int write(swathpack_error* error, int status, const char* text, size_t n) {
  if (error != nullptr) {
    error->status = status;
    error->offset = error->record = -1;
    copy_text(error->text, text, n);
  }
  return status;
}

}  // namespace

Refusal::Refusal(Error e, std::optional<uint64_t> r)
    : status(status_of(e.kind)), error(std::move(e)), record(r) {}

Refusal bad(std::string what, std::string expected, std::string found) {
  return Error{ErrorKind::kBadInput, std::move(what), std::nullopt, std::move(expected), std::move(found)};
}

Refusal small_buffer(const char* name, uint64_t needed, uint64_t capacity) {
  return {SWATHPACK_SMALL_BUFFER,
          Error{ErrorKind::kBadInput, std::string("the buffer ") + name + " is too small", std::nullopt,
                "at least " + std::to_string(needed), std::to_string(capacity)}};
}

// The sentence of the classes in codec/errors.py: what (expected …, found …); what to do.
int report(swathpack_error* error, const MaybeRefusal& refusal) {
  if (!refusal) return write(error, SWATHPACK_OK, "", 0);
  if (error == nullptr) return refusal->status;
  const Error& e = refusal->error;
  std::string text = e.what, sides;
  if (!e.expected.empty()) sides = "expected " + e.expected;
  if (!e.found.empty()) sides += (sides.empty() ? "found " : ", found ") + e.found;
  if (!sides.empty()) text += " (" + sides + ")";
  if (!e.fix.empty()) text += "; " + e.fix;
  write(error, refusal->status, text.data(), text.size());
  if (e.offset) error->offset = static_cast<int64_t>(*e.offset);
  if (refusal->record) error->record = static_cast<int64_t>(*refusal->record);
  return refusal->status;
}

int report_exception(swathpack_error* error) noexcept {
  const auto say = [error](int status, const char* text) {
    return write(error, status, text, std::strlen(text));
  };
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return say(SWATHPACK_NO_MEMORY, "the system gives no more memory");
  } catch (const std::length_error&) {  // a container asked for more than an address space
    return say(SWATHPACK_NO_MEMORY, "more memory would be needed than can be addressed");
  } catch (const std::exception& defect) {
    return say(SWATHPACK_INTERNAL, defect.what());
  } catch (...) {
    return say(SWATHPACK_INTERNAL, "an unknown exception");
  }
}

MaybeRefusal check_values(const swathpack_plane& plane, const void* values, size_t size, int type,
                          int order) {
  static constexpr size_t kElementBytes[] = {1, 2, 2, 4};
  if (type < SWATHPACK_INT8 || type > SWATHPACK_FLOAT32) {
    return bad("a type of values is not known", "0 to 3", std::to_string(type));
  }
  if (order != SWATHPACK_TILE_ORDER && order != SWATHPACK_TOKEN_ORDER) {
    return bad("an order of values is not known", "0 or 1", std::to_string(order));
  }
  const size_t element = kElementBytes[type];
  if (values == nullptr) return bad("values is NULL");
  if (reinterpret_cast<uintptr_t>(values) % element != 0) {
    return bad("values is misaligned", "a multiple of " + std::to_string(element));
  }
  if (size != plane.n_values() * element) {
    return bad("values does not have the size of the plane",
               std::to_string(plane.n_tiles) + " tiles × " + std::to_string(plane.plane().channels) +
                   " channels × " + std::to_string(plane.plane().n_frequencies()) + " tokens × " +
                   std::to_string(element) + " bytes",
               std::to_string(size) + " bytes");
  }
  return std::nullopt;
}

MaybeRefusal check_threads(unsigned threads) {
  if (threads >= 1 && threads <= SWATHPACK_MAX_THREADS) return std::nullopt;
  return bad("threads are 1 to 1024", {}, std::to_string(threads));
}

MaybeRefusal SourceMasks::open(const swathpack_plane& plane, const uint8_t* token_mask, size_t size) {
  if (token_mask == nullptr) {
    // Only own tokens are looked at, and of these derived-invalidity masks none.
    tokens_ = plane.derived;
    tiles_ = plane.nothing_set;
    return std::nullopt;
  }
  if (size != plane.n_mask()) {
    return bad("token_mask does not have the size of the plane", std::to_string(plane.n_mask()),
               std::to_string(size));
  }
  tokens_ = {token_mask, size};
  own_.resize(plane.n_tiles);
  const size_t n_tokens = plane.plane().n_frequencies();
  for (size_t tile = 0; tile < plane.n_tiles; ++tile) {
    bool any_valid = false;
    for (size_t i = tile * n_tokens; i < (tile + 1) * n_tokens; ++i) {
      any_valid |= token_mask[i] == 0 && plane.derived[i] == 0;
    }
    own_[tile] = !any_valid;
  }
  tiles_ = own_;
  return std::nullopt;
}

}  // namespace swathpack::c_api

const char* swathpack_status_name(int status) {
  switch (status) {
    case SWATHPACK_OK:
      return "ok";
    case SWATHPACK_TRUNCATED:
      return "truncated";
    case SWATHPACK_CORRUPT:
      return "corrupt";
    case SWATHPACK_UNSUPPORTED:
      return "unsupported-version";
    case SWATHPACK_LIMIT:
      return "limit";
    case SWATHPACK_BAD_INPUT:
      return "bad-input";
    case SWATHPACK_SMALL_BUFFER:
      return "small-buffer";
    case SWATHPACK_NO_MEMORY:
      return "no-memory";
    case SWATHPACK_NO_BACKEND:
      return "no-backend";
    case SWATHPACK_INTERNAL:
      return "internal";
    default:
      return "unknown";
  }
}
