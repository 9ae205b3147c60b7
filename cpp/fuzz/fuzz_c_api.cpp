// The C functions that take bytes from anyone: a file header, a table file, records, a file to be put
// together. Every status is one of the list, every refusal has a text, and what is taken can be used and
// freed.
#include "any_array.h"
#include "c_api_setup.h"
#include "input.h"

using namespace swathpack;

namespace {

void check_status(int status, const swathpack_error& error) {
  fuzz::require(status >= 0 && status < SWATHPACK_NO_MEMORY, "bytes are taken or refused");
  fuzz::require(error.status == status, "the error says the status");
  fuzz::require((status == 0) == (error.text[0] == 0), "a refusal has a text");
}

void decode_with(const swathpack_plane* plane, size_t values, size_t n_tokens, const test::Buffer& record,
                 unsigned choice) {
  size_t n_tiles = 0;
  swathpack_error error{};
  fuzz::require(swathpack_plane_n_tiles(plane, &n_tiles, &error) == 0, "a plane has tiles");
  if (n_tiles > 64) return;
  const auto type = static_cast<int32_t>(choice % 4);
  const size_t size = test::element_bytes(test::kElementTypes[choice % 4]);
  std::vector<uint8_t> out(n_tiles * values * size), tokens(n_tiles * n_tokens, 1);
  std::vector<uint16_t> layers(n_tiles, 0);
  const swathpack_target target = {
      out.data(),    out.size(),    type,          static_cast<int32_t>(choice / 4 % 2),
      tokens.data(), tokens.size(), layers.data(), layers.size()};
  const swathpack_bytes records[2] = {{record.data(), record.size()}, {record.data(), record.size()}};
  swathpack_error outcomes[2];
  size_t n_refused = 0;
  check_status(swathpack_decode(plane, records, 2, &target, 1 + choice % 2, outcomes, &n_refused, &error),
               error);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const unsigned choice = in.byte();
  static test::Setup setup;
  swathpack_error error{};

  fuzz::Input header_edits = in.piece(in.byte() % 32);
  test::Buffer header = test::small_header();
  fuzz::edit(header, 8, 4, header_edits);
  if (header.size() >= 16) {
    header[10] = static_cast<uint8_t>(choice & 1 ? header.size() : header[10]);
    header.resize(header.size() - 4);
    test::put(header, crc32c(header), 4);
  }
  swathpack_plane* plane = nullptr;
  const test::Buffer exact(header);
  int status = swathpack_plane_from_header(setup.tables, 0, exact.data(), exact.size(), &plane, &error);
  check_status(status, error);
  fuzz::require((status == 0) == (plane != nullptr), "a plane or a refusal");

  test::Buffer record;
  if (choice & 2) {
    record = in.rest();
    if (record.size() >= 13 && record.size() <= 12 + kMaxPayloadBytes && choice & 4) test::reseal(record);
  } else {
    const auto headers = setup.plan(choice / 8 % 2);
    swathpack_records* records = nullptr;
    fuzz::require(swathpack_encode(setup.plane, &setup.source, headers.data(), 1, 1, &records, &error) == 0,
                  "a legal record is encoded");
    const uint8_t* bytes = nullptr;
    size_t n = 0;
    fuzz::require(swathpack_records_get(records, 0, &bytes, &n, &error) == 0, "and is there");
    record.assign(bytes, bytes + n);
    swathpack_records_free(records);
    fuzz::edit(record, kRecordHeaderBytes, kRecordCrcBytes, in);
    test::reseal(record);
  }
  decode_with(setup.plane, 12, 4, record, choice / 16);
  if (plane != nullptr) decode_with(plane, 12, 4, record, choice / 16);
  swathpack_plane_free(plane);

  swathpack_file* file = nullptr;
  status = swathpack_file_new(exact.data(), exact.size(), &file, &error);
  check_status(status, error);
  if (status == 0) {
    check_status(swathpack_file_add(file, record.data(), record.size(), &error), error);
    const uint8_t* tail = nullptr;
    size_t n = 0;
    check_status(swathpack_file_finish(file, &tail, &n, &error), error);
    swathpack_file_free(file);
  }
  swathpack_tables* tables = nullptr;
  status = swathpack_tables_parse(record.data(), record.size(), &tables, &error);
  check_status(status, error);
  swathpack_tables_free(tables);
  return 0;
}
