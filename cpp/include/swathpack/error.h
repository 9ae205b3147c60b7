// Typed results of the core. Nothing here throws because of the bytes it was given: a function that can
// refuse returns a Result or a MaybeError, and the caller (a binding, a test) turns it into its own error
// type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace swathpack {

// The refusals of the format (bitstream §1), and BadInput for arguments a caller of ours got wrong.
enum class ErrorKind : uint8_t {
  kTruncated,    // the bytes end too early
  kCorrupt,      // a checksum, a reserved bit or a canonical form is violated
  kUnsupported,  // a version or kind from the future
  kLimit,        // a cap of this decoder or of the format's sizes
  kBadInput,     // not a property of received bytes: the arguments do not fit each other
};

// The stable names, equal to `kind` of the classes in codec/errors.py.
[[nodiscard]] constexpr const char* kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTruncated:
      return "truncated";
    case ErrorKind::kCorrupt:
      return "corrupt";
    case ErrorKind::kUnsupported:
      return "unsupported-version";
    case ErrorKind::kLimit:
      return "limit";
    case ErrorKind::kBadInput:
      return "bad-input";
  }
  return "internal";
}

// One refusal: what is wrong (a clause without a full stop), at which byte of the structure that was being
// read, and, where they say more than the clause, what was expected, what was found and what to do.
struct Error {
  ErrorKind kind = ErrorKind::kCorrupt;
  std::string what;
  std::optional<uint64_t> offset = std::nullopt;
  std::string expected = {};
  std::string found = {};
  std::string fix = {};
};

using MaybeError = std::optional<Error>;

// A value or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}      // NOLINT: implicit on purpose, `return value;`
  Result(Error error) : content_(std::move(error)) {}  // NOLINT: implicit on purpose, `return Error{...};`

  [[nodiscard]] bool ok() const { return std::holds_alternative<T>(content_); }
  [[nodiscard]] const T& value() const { return std::get<T>(content_); }
  [[nodiscard]] T take() { return std::move(std::get<T>(content_)); }
  [[nodiscard]] const Error& error() const { return std::get<Error>(content_); }

 private:
  std::variant<T, Error> content_;
};

}  // namespace swathpack
