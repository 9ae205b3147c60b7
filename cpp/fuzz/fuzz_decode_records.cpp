// Any record under right checksums is refused without a trace, or is canonical: encoding what it decodes to
// gives its bytes. In every type and order of the arrays. The record is either the input itself or an intact
// one with edits taken from the input, since few random payloads reach a right end state.
#include "any_array.h"
#include "input.h"

using namespace swathpack;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const test::Case& c = fuzz::fixed_case(in.number());
  const auto record = fuzz::hostile_record(c, in);
  if (!record) return 0;
  const unsigned choice = record->back();  // of the CRC: any number, but a fixed one for each record
  // An earlier record may have said the layer already.
  const std::vector<uint16_t> before(c.n_tiles, choice & 8 ? uint16_t{0xFFFF} : uint16_t{0});

  test::AnyTarget any(c, test::kElementTypes[choice % 4], test::kOrders[choice / 4 % 2]);
  any.layers = before;
  RecordDecoder any_decoder(c.context(), any.target());
  const auto any_error = any_decoder.decode(*record);
  if (any_error) {
    fuzz::require(test::is_left_alone(c, *record, any, before), "a refused record leaves no trace");
  }
  test::AnyTarget symbols(c, ElementType::kInt16, Order::kTile);
  symbols.layers = before;
  RecordDecoder decoder(c.context(), symbols.target());
  const auto error = decoder.decode(*record);
  fuzz::require(error.has_value() == any_error.has_value() || any_error->kind == ErrorKind::kBadInput,
                "all arrays get the same verdict, but that a number may be too large");
  if (error) {
    fuzz::require(test::is_left_alone(c, *record, symbols, before), "a refused record leaves no trace");
    return 0;
  }
  test::Decoded decoded(c);
  fuzz::require(!test::decode_exactly(c, *record, decoded), "a record decodes twice");
  fuzz::require(test::encode_again(c, *record, decoded) == *record, "a decoded record is canonical");
  return 0;
}
