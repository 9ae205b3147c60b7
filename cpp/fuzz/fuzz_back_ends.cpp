// Every instruction set says the same of the same record and leaves the same arrays, and encodes the same
// symbols or latents to the same bytes.
#include "any_array.h"
#include "input.h"

using namespace swathpack;

namespace {

void compare_decoders(const test::Case& c, const test::Buffer& record) {
  const unsigned choice = record.back();
  std::optional<test::AnyTarget> first;
  std::string first_said;
  for (const std::string& isa : isa_names()) {
    const test::OnIsa on(isa);
    test::AnyTarget target(c, test::kElementTypes[choice % 4], test::kOrders[choice / 4 % 2]);
    std::fill(target.layers.begin(), target.layers.end(), choice & 8 ? uint16_t{0xFFFF} : uint16_t{0});
    const test::Buffer exact(record);
    RecordDecoder decoder(c.context(), target.target());
    const auto error = decoder.decode(exact);
    const std::string said =
        test::refusal(error) + (error && error->offset ? " at" + std::to_string(*error->offset) : "");
    if (!first) {
      first = target;
      first_said = said;
    }
    fuzz::require(said == first_said, "the same verdict");
    fuzz::require(target == *first, "the same arrays");
  }
}

// The case's own symbols or latents, changed by the input.
void compare_encoders(const test::Case& fixed, fuzz::Input& in) {
  test::Case c = fixed;
  RecordHeader h = RecordHeader::unpack(c.header);
  h.log2_lanes = in.byte() % 8;
  c.header = h.pack() & 0xFFFFFFFFFFu;
  const unsigned choice = in.byte();
  static constexpr std::array kTypes = {ElementType::kInt8, ElementType::kInt16, ElementType::kFloat32};
  const ElementType type = kTypes[choice % 3];
  const Order order = test::kOrders[choice / 3 % 2];
  const size_t element = test::element_bytes(type);
  test::Buffer values(c.symbols.size() * element);
  for (size_t i = 0; i < c.symbols.size(); ++i) {
    int16_t symbol = c.symbols[i];
    if (symbol != 0 && !in.empty()) symbol = static_cast<int16_t>(in.number());
    uint8_t* const to = values.data() + test::position(c.plane(), order, i) * element;
    const auto narrow = static_cast<int8_t>(symbol);
    float latent = static_cast<float>(symbol) / 64.0f;
    if (choice & 64)
      latent = std::bit_cast<float>(uint32_t{static_cast<uint16_t>(symbol)} << 16);  // NaN, infinity
    const void* const from = type == ElementType::kInt8    ? static_cast<const void*>(&narrow)
                             : type == ElementType::kInt16 ? static_cast<const void*>(&symbol)
                                                           : &latent;
    std::memcpy(to, from, element);
  }
  std::optional<test::Buffer> first;
  std::string first_said;
  for (const std::string& isa : isa_names()) {
    const test::OnIsa on(isa);
    test::Buffer record;
    RecordEncoder encoder(c.context(), {values.data(), type, order, c.tile_mask, c.token_mask});
    const std::string said = test::refusal(encoder.encode(c.header, record));
    if (!first) {
      first = record;
      first_said = said;
    }
    fuzz::require(said == first_said, "the same verdict on an array");
    fuzz::require(record == *first, "the same bytes");
  }
  if (first_said.empty()) compare_decoders(c, *first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const test::Case& c = fuzz::fixed_case(in.number());
  if (in.byte() % 3 == 0) {
    compare_encoders(c, in);
  } else if (const auto record = fuzz::hostile_record(c, in)) {
    compare_decoders(c, *record);
  }
  return 0;
}
