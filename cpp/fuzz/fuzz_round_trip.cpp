// Any legal symbols under any lane count come back, and encode to the same bytes again.
#include "input.h"

using namespace swathpack;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  test::Case c = fuzz::fixed_case(in.number());
  RecordHeader h = RecordHeader::unpack(c.header);
  h.log2_lanes = in.byte() % 8;
  c.header = h.pack() & 0xFFFFFFFFFFu;
  // The fixed case has non-zero symbols only where the format can say them; others take their places.
  for (int16_t& symbol : c.symbols) {
    if (symbol == 0 || in.empty()) continue;
    const int value = static_cast<int16_t>(in.number());
    symbol = static_cast<int16_t>(value == -32768 ? 0 : value);
  }
  test::Buffer record;
  RecordEncoder encoder(c.context(), c.source());
  const auto error = encoder.encode(c.header, record);
  fuzz::require(!error, error ? error->what.c_str() : "");
  test::Decoded decoded(c);
  const auto refused = test::decode_exactly(c, record, decoded);
  fuzz::require(!refused, refused ? refused->what.c_str() : "");
  for (size_t i = 0; i < c.symbols.size(); ++i) {
    // What the record does not say keeps the decoder's marker, 77.
    fuzz::require(decoded.symbols[i] == c.symbols[i] || decoded.symbols[i] == 77 || c.symbols[i] == 0,
                  "a symbol comes back");
  }
  fuzz::require(test::encode_again(c, record, decoded) == record, "the bytes are the same again");
  return 0;
}
