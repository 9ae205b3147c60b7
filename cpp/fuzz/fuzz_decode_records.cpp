// Any record under right checksums is refused without a trace, or is canonical: encoding what it decodes to
// gives its bytes. The record is either the input itself or an intact one with edits taken from the input,
// since few random payloads reach a right end state.
#include "input.h"

using namespace swathpack;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const test::Case& c = fuzz::fixed_case(in.number());
  test::Buffer record;
  if (in.byte() % 2 == 0) {
    RecordEncoder encoder(c.context(), c.source());
    fuzz::require(!encoder.encode(c.header, record), "a legal case can be encoded");
    fuzz::edit(record, kRecordHeaderBytes, kRecordCrcBytes, in);
  } else {
    record = in.rest();
    if (record.size() < 13 || record.size() > 12 + kMaxPayloadBytes) return 0;
  }
  test::reseal(record);
  const test::Decoded untouched(c);
  test::Decoded decoded(c);
  if (test::decode_exactly(c, record, decoded)) {
    fuzz::require(decoded.symbols == untouched.symbols && decoded.token_mask == untouched.token_mask &&
                      decoded.layers == untouched.layers,
                  "a refused record leaves no trace");
  } else {
    fuzz::require(test::encode_again(c, record, decoded) == record, "a decoded record is canonical");
  }
  return 0;
}
