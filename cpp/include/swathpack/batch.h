// Many records in one call, on as many threads as the caller grants.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "swathpack/error.h"
#include "swathpack/records.h"

namespace swathpack {

// Complete records in the order of their headers.
struct EncodedRecords {
  std::vector<std::vector<uint8_t>> buffers;  // one for each thread
  struct Place {
    uint32_t buffer;
    size_t begin, end;
  };
  std::vector<Place> places;

  [[nodiscard]] std::span<const uint8_t> record(size_t i) const {
    const Place& p = places[i];
    return std::span(buffers[p.buffer]).subspan(p.begin, p.end - p.begin);
  }
};

// The refusal of one record of a batch.
struct RecordError {
  size_t record;
  Error error;
};

// Encodes one record for each packed header (RecordEncoder::encode), on up to `threads` threads (at least 1).
// The bytes do not depend on their number. On refusal the first header in order that was refused is named,
// and there is no output.
[[nodiscard]] std::variant<EncodedRecords, RecordError> encode_batch(const PlaneContext& context,
                                                                     const EncodeSource& source,
                                                                     std::span<const uint64_t> headers,
                                                                     unsigned threads);

// Decodes records as if one after the other (RecordDecoder::decode): one outcome each. Records that say the
// same layer of the same tile are kept in order on one thread.
[[nodiscard]] std::vector<MaybeError> decode_batch(const PlaneContext& context, const DecodeTarget& target,
                                                   std::span<const std::span<const uint8_t>> records,
                                                   unsigned threads);

}  // namespace swathpack
