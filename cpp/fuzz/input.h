// What all fuzz targets share: a reader of the fuzzer's bytes and a check that ends the process.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <vector>

#include "cases.h"

namespace swathpack::fuzz {

// A property that must hold for any input; libFuzzer keeps the input that breaks it.
inline void require(bool holds, const char* what) {
  if (holds && test::n_failures() == 0) return;
  std::fprintf(stderr, "broken: %s\n", what);
  __builtin_trap();
}

// Takes numbers from the front of the input; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data, size) {}
  uint8_t byte() {
    if (data_.empty()) return 0;
    const uint8_t value = data_.front();
    data_ = data_.subspan(1);
    return value;
  }
  uint32_t number() { return byte() | uint32_t{byte()} << 8; }
  [[nodiscard]] bool empty() const { return data_.empty(); }
  [[nodiscard]] test::Buffer rest() const { return {data_.begin(), data_.end()}; }
  // The next n bytes, or what is left, as an input of its own.
  Input piece(size_t n) {
    n = std::min(n, data_.size());
    const Input taken(data_.data(), n);
    data_ = data_.subspan(n);
    return taken;
  }

 private:
  std::span<const uint8_t> data_;
};

// Edits of bytes[first …] but for the last `n_tail`: each sets, flips, inserts or deletes one byte, until the
// input is used up. Stays within 60,000 bytes and keeps at least one byte editable.
inline void edit(test::Buffer& bytes, size_t first, size_t n_tail, Input& in) {
  while (!in.empty()) {
    const uint8_t kind = in.byte();
    const size_t n = bytes.size() - first - n_tail;
    const auto at = bytes.begin() + static_cast<ptrdiff_t>(first + in.number() % n);
    switch (kind % 4) {
      case 0:
        *at = in.byte();
        break;
      case 1:
        *at = static_cast<uint8_t>(*at ^ 1u << in.byte() % 8);
        break;
      case 2:
        if (n < 60000) bytes.insert(at, in.byte());
        break;
      default:
        if (n > 1) bytes.erase(at);
    }
  }
}

// One of 1024 fixed cases: tables, masks, symbols and one record header each.
inline const test::Case& fixed_case(uint32_t number) {
  static std::vector<std::optional<test::Case>> cases(1024);
  auto& found = cases[number % cases.size()];
  if (!found) {
    test::Random random(number % cases.size());
    found = test::random_case(random, 6, 5);
  }
  return *found;
}

// A record under right checksums: the rest of the input itself, or the case's own record with edits taken
// from it; in one of four cases one byte of the header's fields is another, too. Nothing where the input is
// too short.
inline std::optional<test::Buffer> hostile_record(const test::Case& c, Input& in) {
  test::Buffer record;
  const uint8_t kind = in.byte(), field = in.byte();
  if (kind % 2 == 0) {
    RecordEncoder encoder(c.context(), c.source());
    require(!encoder.encode(c.header, record), "a legal case can be encoded");
    if (kind % 8 == 0) record[field % 5] = in.byte();
    edit(record, kRecordHeaderBytes, kRecordCrcBytes, in);
  } else {
    record = in.rest();
    if (record.size() < kRecordHeaderBytes + 1 + kRecordCrcBytes ||
        record.size() > kRecordHeaderBytes + kMaxPayloadBytes + kRecordCrcBytes) {
      return std::nullopt;
    }
    if (kind % 4 == 1) {  // under a header that is someone's business
      RecordHeader h = RecordHeader::unpack(c.header);
      if (kind % 8 == 5) {
        h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
        h.state_form = field % 8;
      }
      for (unsigned i = 0; i < 5; ++i) record[i] = static_cast<uint8_t>(h.pack() >> (8 * i));
    }
  }
  test::reseal(record);
  return record;
}

}  // namespace swathpack::fuzz
