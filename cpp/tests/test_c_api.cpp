// The C functions: whatever is wrong with arguments, bytes or memory ends in a status.
#include <limits>
#include <new>
#include <stdexcept>

#include "c_api_guard.h"
#include "c_api_setup.h"
#include "swathpack/nec_file.h"

namespace swathpack::test {
namespace {

TEST_CASE("C: a NULL or misaligned pointer is refused by every function") {
  Setup s;
  const Buffer file = small_tables(), header = small_header();
  uint64_t headers[6] = {}, packed = 0, costs[6] = {};
  uint32_t crc = 0;
  uint8_t digest[32], bytes[64] = {};
  size_t n = 0, offsets[7];
  int16_t symbols[72];
  swathpack_tables* tables = nullptr;
  swathpack_plane* plane = nullptr;
  swathpack_records* records = nullptr;
  swathpack_file* nec = nullptr;
  swathpack_plane_info info;
  swathpack_record_header fields{};
  swathpack_run runs[6];
  const uint8_t* data = nullptr;
  Target target(72, 24, 6);
  const swathpack_bytes none = {nullptr, 20};

  CHECK_BAD(swathpack_isa(nullptr, e));
  CHECK_BAD(swathpack_crc32c(nullptr, 1, 0, &crc, e));
  CHECK_BAD(swathpack_crc32c(bytes, 1, 0, nullptr, e));
  CHECK_BAD(swathpack_sha256(nullptr, 1, digest, e));
  CHECK_BAD(swathpack_sha256(bytes, 1, nullptr, e));
  CHECK_BAD(swathpack_tables_parse(nullptr, 9, &tables, e));
  CHECK_BAD(swathpack_tables_parse(file.data(), file.size(), nullptr, e));
  CHECK_BAD(swathpack_tables_n_planes(nullptr, &n, e));
  CHECK_BAD(swathpack_tables_n_planes(s.tables, nullptr, e));
  CHECK_BAD(swathpack_tables_plane(nullptr, 0, &info, e));
  CHECK_BAD(swathpack_tables_plane(s.tables, 0, nullptr, e));
  CHECK_BAD(swathpack_plane_new(nullptr, 0, &kGrid, 4, &plane, e));
  CHECK_BAD(swathpack_plane_new(s.tables, 0, nullptr, 4, &plane, e));
  CHECK_BAD(swathpack_plane_new(s.tables, 0, &kGrid, 4, nullptr, e));
  CHECK_BAD(swathpack_plane_from_header(nullptr, 0, header.data(), header.size(), &plane, e));
  CHECK_BAD(swathpack_plane_from_header(s.tables, 0, nullptr, header.size(), &plane, e));
  CHECK_BAD(swathpack_plane_from_header(s.tables, 0, header.data(), header.size(), nullptr, e));
  CHECK_BAD(swathpack_plane_n_tiles(nullptr, &n, e));
  CHECK_BAD(swathpack_plane_n_tiles(s.plane, nullptr, e));
  swathpack_source no_values = s.source, odd = s.source;
  no_values.values = nullptr;
  odd.values = reinterpret_cast<const uint8_t*>(s.values.data()) + 1;
  for (const swathpack_source* source :
       {static_cast<const swathpack_source*>(nullptr), static_cast<const swathpack_source*>(&no_values),
        static_cast<const swathpack_source*>(&odd)}) {
    CHECK_BAD(swathpack_quantise(s.plane, source, 0, symbols, sizeof symbols, e));
    CHECK_BAD(swathpack_tile_costs(s.plane, source, 0, 0, costs, 6, e));
    CHECK_BAD(swathpack_plan(s.plane, source, 0, 0, 960, headers, 6, &n, e));
    CHECK_BAD(swathpack_encode(s.plane, source, headers, 1, 1, &records, e));
    CHECK_BAD(swathpack_encode_into(s.plane, source, headers, 1, 1, bytes, 64, offsets, 2, &n, e));
  }
  CHECK_BAD(swathpack_quantise(nullptr, &s.source, 0, symbols, sizeof symbols, e));
  CHECK_BAD(swathpack_tile_costs(nullptr, &s.source, 0, 0, costs, 6, e));
  CHECK_BAD(swathpack_tile_costs(s.plane, &s.source, 0, 0, nullptr, 6, e));
  CHECK_BAD(swathpack_group(nullptr, nullptr, 0, 0, costs, 6, 960, runs, 6, &n, e));
  CHECK_BAD(swathpack_group(s.plane, nullptr, 0, 0, nullptr, 6, 960, runs, 6, &n, e));
  CHECK_BAD(swathpack_group(s.plane, nullptr, 0, 0, costs, 6, 960, nullptr, 6, &n, e));
  CHECK_BAD(swathpack_group(s.plane, nullptr, 0, 0, costs, 6, 960, runs, 6, nullptr, e));
  CHECK_BAD(swathpack_plan(nullptr, &s.source, 0, 0, 960, headers, 6, &n, e));
  CHECK_BAD(swathpack_plan(s.plane, &s.source, 0, 0, 960, nullptr, 6, &n, e));
  CHECK_BAD(swathpack_plan(s.plane, &s.source, 0, 0, 960, headers, 6, nullptr, e));
  CHECK_BAD(swathpack_encode(nullptr, &s.source, headers, 1, 1, &records, e));
  CHECK_BAD(swathpack_encode(s.plane, &s.source, nullptr, 1, 1, &records, e));
  CHECK_BAD(swathpack_encode(s.plane, &s.source, headers, 1, 1, nullptr, e));
  CHECK_BAD(swathpack_encode_into(s.plane, &s.source, headers, 1, 1, nullptr, 64, offsets, 2, &n, e));
  CHECK_BAD(swathpack_encode_into(s.plane, &s.source, headers, 1, 1, bytes, 64, nullptr, 2, &n, e));
  CHECK_BAD(swathpack_encode_into(s.plane, &s.source, headers, 1, 1, bytes, 64, offsets, 2, nullptr, e));
  CHECK_BAD(swathpack_records_get(nullptr, 0, &data, &n, e));
  CHECK_BAD(swathpack_decode(nullptr, nullptr, 0, &target.raw, 1, nullptr, nullptr, e));
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 1, &target.raw, 1, nullptr, nullptr, e));
  CHECK_BAD(swathpack_decode(s.plane, &none, 1, &target.raw, 1, nullptr, nullptr, e));
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, nullptr, 1, nullptr, nullptr, e));
  swathpack_target wrong = target.raw;
  wrong.values = nullptr;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  wrong = target.raw;
  wrong.token_mask = nullptr;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  wrong = target.raw;
  wrong.layers = nullptr;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  CHECK_BAD(swathpack_header_pack(nullptr, &packed, e));
  CHECK_BAD(swathpack_header_pack(&fields, nullptr, e));
  CHECK_BAD(swathpack_header_unpack(0, nullptr, e));
  CHECK_BAD(swathpack_scan(nullptr, 4, 0, nullptr, 0, &n, e));
  CHECK_BAD(swathpack_scan(bytes, 4, 0, nullptr, 1, &n, e));
  CHECK_BAD(swathpack_scan(bytes, 4, 0, nullptr, 0, nullptr, e));
  CHECK_BAD(swathpack_file_new(nullptr, 4, &nec, e));
  CHECK_BAD(swathpack_file_new(header.data(), header.size(), nullptr, e));
  CHECK_BAD(swathpack_file_add(nullptr, bytes, 20, e));
  CHECK_BAD(swathpack_file_finish(nullptr, &data, &n, e));
  CHECK_BAD(swathpack_rs_encode(nullptr, 8, 2, 2, 4, bytes, 8, e));
  CHECK_BAD(swathpack_rs_encode(bytes, 8, 2, 2, 4, nullptr, 8, e));
  const int64_t indices[2] = {0, 1};
  CHECK_BAD(swathpack_rs_decode(nullptr, 8, indices, 2, 2, 4, bytes, 8, e));
  CHECK_BAD(swathpack_rs_decode(bytes, 8, nullptr, 2, 2, 4, bytes, 8, e));
  CHECK_BAD(swathpack_rs_decode(bytes, 8, indices, 2, 2, 4, nullptr, 8, e));
  swathpack_tables_free(nullptr);
  swathpack_plane_free(nullptr);
  swathpack_records_free(nullptr);
  swathpack_file_free(nullptr);
}

TEST_CASE("C: sizes and numbers that do not fit are refused") {
  Setup s;
  const auto headers = s.plan(0);
  constexpr size_t kHuge = std::numeric_limits<size_t>::max();
  swathpack_records* records = nullptr;
  swathpack_plane* plane = nullptr;
  swathpack_plane_info info;
  size_t n = 0;
  uint64_t costs[6] = {}, packed[6] = {};
  swathpack_run runs[6];
  uint8_t bytes[64] = {};
  const auto encode = [&](const swathpack_source& source, unsigned threads = 1) {
    CHECK_BAD(swathpack_encode(s.plane, &source, headers.data(), headers.size(), threads, &records, e));
    CHECK(records == nullptr);
  };
  for (const size_t size : {size_t{0}, s.source.size - 1, s.source.size + 1, kHuge}) {
    auto source = s.source;
    source.size = size;
    encode(source);
  }
  for (const int type : {-1, 2, 4, 255, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    auto source = s.source;
    source.type = type;
    encode(source);
  }
  for (const int order : {-1, 2, std::numeric_limits<int>::max()}) {
    auto source = s.source;
    source.order = order;
    encode(source);
  }
  for (const size_t size : {size_t{0}, size_t{23}, size_t{25}, kHuge}) {
    auto source = s.source;
    source.token_mask = bytes;
    source.token_mask_size = size;
    encode(source);
    CHECK_BAD(swathpack_plan(s.plane, &source, 0, 0, 960, packed, 6, &n, e));
    CHECK_BAD(swathpack_group(s.plane, bytes, size, 0, costs, 6, 960, runs, 6, &n, e));
  }
  encode(s.source, 0);
  encode(s.source, SWATHPACK_MAX_THREADS + 1);
  for (const swathpack_grid& grid :
       {swathpack_grid{0, 4, 2, 2}, swathpack_grid{6, 0, 2, 2}, swathpack_grid{6, 4, 0, 2},
        swathpack_grid{6, 4, 2, 0}, swathpack_grid{65537, 1, 1, 1}, swathpack_grid{~0u, ~0u, 1, 1}}) {
    CHECK_BAD(swathpack_plane_new(s.tables, 0, &grid, 4, &plane, e));
  }
  CHECK_BAD(swathpack_plane_new(s.tables, 1, &kGrid, 4, &plane, e));
  CHECK_BAD(swathpack_plane_new(s.tables, kHuge, &kGrid, 4, &plane, e));
  CHECK_BAD(swathpack_plane_new(s.tables, 0, &kGrid, 8, &plane, e));
  CHECK_BAD(swathpack_plane_new(s.tables, 0, &kGrid, ~0u, &plane, e));
  CHECK_BAD(swathpack_tables_plane(s.tables, 1, &info, e));
  for (const size_t n_costs : {size_t{0}, size_t{5}, size_t{7}}) {
    CHECK_BAD(swathpack_tile_costs(s.plane, &s.source, 0, 0, costs, n_costs, e));
    CHECK_BAD(swathpack_group(s.plane, nullptr, 0, 0, costs, n_costs, 960, runs, 6, &n, e));
  }
  for (const unsigned layer : {2u, 16u, ~0u}) {
    CHECK_BAD(swathpack_tile_costs(s.plane, &s.source, layer, 0, costs, 6, e));
    CHECK_BAD(swathpack_group(s.plane, nullptr, 0, layer, costs, 6, 960, runs, 6, &n, e));
    CHECK_BAD(swathpack_plan(s.plane, &s.source, layer, 0, 960, packed, 6, &n, e));
  }
  for (const int offset : {-5, 4, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    CHECK_BAD(swathpack_tile_costs(s.plane, &s.source, 0, offset, costs, 6, e));
    CHECK_BAD(swathpack_plan(s.plane, &s.source, 0, offset, 960, packed, 6, &n, e));
  }
  CHECK_BAD(swathpack_plan(s.plane, &s.source, 0, 0, 12, packed, 6, &n, e));
  size_t offsets[9];
  for (const size_t n_offsets : {size_t{0}, headers.size(), headers.size() + 2}) {
    CHECK_BAD(swathpack_encode_into(s.plane, &s.source, headers.data(), headers.size(), 1, bytes, 64, offsets,
                                    n_offsets, &n, e));
  }
  CHECK_BAD(swathpack_rs_encode(bytes, 8, 0, 2, 4, bytes + 32, 8, e));
  CHECK_BAD(swathpack_rs_encode(bytes, 8, 2, ~0u, 4, bytes + 32, 8, e));
  CHECK_BAD(swathpack_rs_encode(bytes, 8, 2, 2, kHuge, bytes + 32, 8, e));
  CHECK_BAD(swathpack_rs_encode(bytes, 8, 2, 2, 4, bytes + 32, 7, e));
  Target target(72, 24, 6);
  for (const size_t size : {size_t{0}, size_t{143}, size_t{145}}) {
    auto wrong = target.raw;
    wrong.size = size;
    CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  }
  auto wrong = target.raw;
  wrong.token_mask_size = 23;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  wrong = target.raw;
  wrong.n_layers = 5;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  wrong = target.raw;
  wrong.type = 9;
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &wrong, 1, nullptr, nullptr, e));
  CHECK_BAD(swathpack_decode(s.plane, nullptr, 0, &target.raw, 0, nullptr, nullptr, e));
}

TEST_CASE("C: record headers pack and unpack, and fields out of range are refused") {
  const swathpack_record_header h = {1, 3, 9, 6, -4, 0, 4711, 136, 960};
  swathpack_record_header back{};
  uint64_t packed = 0;
  CHECK_EQUAL(swathpack_header_pack(&h, &packed, nullptr), 0);
  CHECK_EQUAL(packed & 0xFFFF, uint64_t{1 | 3 << 3 | 9 << 6 | 6 << 10 | 4 << 13});
  CHECK_EQUAL(packed >> 32 & 0xFFFFFF, uint64_t{128 | 959 << 8});
  CHECK_EQUAL(swathpack_header_unpack(packed, &back, nullptr), 0);
  CHECK(back.kind == 1 && back.plane == 3 && back.layer == 9 && back.log2_lanes == 6 &&
        back.ladder_offset == -4);
  CHECK(back.first_tile == 4711 && back.n_tiles == 136 && back.payload_bytes == 960);
  const swathpack_record_header compact = {6, 3, 9, 0, -4, 5, 4711, 136, 960};
  CHECK_EQUAL(swathpack_header_pack(&compact, &packed, nullptr), 0);
  CHECK_EQUAL(packed & 0xFFFF, uint64_t{6 | 3 << 3 | 9 << 6 | 5 << 10 | 4 << 13});
  CHECK_EQUAL(swathpack_header_unpack(packed, &back, nullptr), 0);
  CHECK(back.kind == 6 && back.log2_lanes == 0 && back.state_form == 5 && back.first_tile == 4711);
  CHECK_EQUAL(swathpack_header_unpack(packed ^ 8, &back, nullptr), SWATHPACK_CORRUPT);
  auto wrong = h;
  wrong.payload_bytes = 0;
  CHECK_EQUAL(swathpack_header_pack(&wrong, &packed, nullptr), 0);
  CHECK_EQUAL(packed >> 40, uint64_t{0});
  for (const auto& [offset, value] :
       {std::pair<size_t, uint8_t>{0, 0}, {0, 8}, {1, 8}, {2, 16}, {3, 8}, {4, 4}}) {
    wrong = h;
    reinterpret_cast<uint8_t*>(&wrong)[offset] = value;
    CHECK_BAD(swathpack_header_pack(&wrong, &packed, e));
  }
  for (const uint32_t n : {0u, 129u, 137u, 32769u, ~0u}) {
    wrong = h;
    wrong.n_tiles = n;
    CHECK_BAD(swathpack_header_pack(&wrong, &packed, e));
  }
  wrong = h;
  wrong.payload_bytes = 65537;
  CHECK_BAD(swathpack_header_pack(&wrong, &packed, e));
}

TEST_CASE("C: every prefix of a table file or file header is refused, and so is any changed byte") {
  Setup s;
  const Buffer file = small_tables(), header = small_header();
  for (const Buffer& whole : {file, header}) {
    const bool is_table = whole == file;
    const auto status_of = [&](const Buffer& data) {
      swathpack_tables* tables = nullptr;
      swathpack_plane* plane = nullptr;
      const int status =
          is_table ? swathpack_tables_parse(data.data(), data.size(), &tables, &s.error)
                   : swathpack_plane_from_header(s.tables, 0, data.data(), data.size(), &plane, &s.error);
      CHECK_EQUAL(status == 0, tables != nullptr || plane != nullptr);
      swathpack_tables_free(tables);
      swathpack_plane_free(plane);
      return status;
    };
    CHECK_EQUAL(status_of(whole), 0);
    for (size_t n = 0; n < whole.size(); ++n) {
      CHECK(status_of(Buffer(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n))) != 0);
      Buffer changed = whole;
      changed[n] ^= 0x40;
      CHECK(status_of(changed) != 0);
    }
  }
  swathpack_plane* plane = nullptr;
  const Buffer other = small_header(4, 5), off_ladder = small_header(200);
  CHECK_BAD(swathpack_plane_from_header(s.tables, 0, other.data(), other.size(), &plane, e));
  CHECK_BAD(swathpack_plane_from_header(s.tables, 0, off_ladder.data(), off_ladder.size(), &plane, e));
  CHECK_BAD(swathpack_plane_from_header(s.tables, 1, header.data(), header.size(), &plane, e));
}

TEST_CASE("C: a file takes records that fit its header and no others, and nothing once finished") {
  Setup s;
  const Buffer header = small_header();
  swathpack_file* file = nullptr;
  CHECK_EQUAL(swathpack_file_new(header.data(), header.size(), &file, &s.error), 0);
  const auto headers = s.plan(0);
  swathpack_records* records = nullptr;
  CHECK_EQUAL(swathpack_encode(s.plane, &s.source, headers.data(), headers.size(), 1, &records, &s.error), 0);
  const uint8_t* data = nullptr;
  size_t size = 0;
  CHECK_EQUAL(swathpack_records_get(records, 0, &data, &size, &s.error), 0);
  for (size_t n = 0; n < size; ++n) {
    Buffer changed(data, data + size);
    changed[n] ^= 4;
    CHECK_BAD(swathpack_file_add(file, changed.data(), changed.size(), e));
    CHECK_BAD(swathpack_file_add(file, data, n, e));
  }
  const auto resealed = [&](size_t at, uint8_t value) {
    Buffer changed(data, data + size);
    changed[at] = value;
    reseal(changed);
    CHECK_BAD(swathpack_file_add(file, changed.data(), changed.size(), e));
  };
  resealed(0, 1 | 1 << 3);  // plane 1
  resealed(0, 4);           // a seal
  resealed(0, 5);
  resealed(2, 6);  // beyond the last tile
  resealed(4, 6);  // too many tiles
  CHECK_EQUAL(swathpack_file_add(file, data, size, &s.error), 0);
  const uint8_t* tail = nullptr;
  size_t tail_size = 0;
  CHECK_EQUAL(swathpack_file_finish(file, &tail, &tail_size, &s.error), 0);
  CHECK_EQUAL(tail_size, size_t{12 + 8 + 12 + 24});  // index of one record, seal
  CHECK_BAD(swathpack_file_add(file, data, size, e));
  swathpack_records_free(records);
  swathpack_file_free(file);
  Buffer longer = header;
  longer.push_back(0);
  CHECK_BAD(swathpack_file_new(longer.data(), longer.size(), &file, e));
}

TEST_CASE("C: whatever is thrown inside comes out as a status") {
  swathpack_error error{};
  CHECK_EQUAL(c_api::guarded(&error, []() -> c_api::MaybeRefusal { throw std::bad_alloc(); }),
              SWATHPACK_NO_MEMORY);
  CHECK_EQUAL(error.status, int32_t{SWATHPACK_NO_MEMORY});
  CHECK_EQUAL(c_api::guarded(&error, []() -> c_api::MaybeRefusal { throw std::length_error("x"); }),
              SWATHPACK_NO_MEMORY);
  CHECK_EQUAL(c_api::guarded(&error, []() -> c_api::MaybeRefusal { throw std::runtime_error("why"); }),
              SWATHPACK_INTERNAL);
  CHECK_EQUAL(std::string(error.text), std::string("why"));
  CHECK_EQUAL(c_api::guarded(nullptr, []() -> c_api::MaybeRefusal { throw 7; }), SWATHPACK_INTERNAL);
}

TEST_CASE("C: a long text is cut between characters and ends with a NUL") {
  for (size_t n = 110; n < 130; ++n) {
    std::string text(n % 2, '.');
    for (size_t i = 0; i < n; ++i) text += "×";  // two bytes
    swathpack_error error;
    std::memset(&error, 0x55, sizeof error);
    CHECK_EQUAL(c_api::report(&error, c_api::Refusal(Error{ErrorKind::kLimit, text, 12}, 3)),
                SWATHPACK_LIMIT);
    const std::string cut = error.text;
    CHECK(text.starts_with(cut) && (cut.size() - n % 2) % 2 == 0);
    CHECK_EQUAL(cut.size(), text.size() < SWATHPACK_TEXT_BYTES ? text.size() : 238 + n % 2);
    CHECK(error.offset == 12 && error.record == 3);
  }
}

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples, in pieces of any size") {
  const auto hex = [](const std::array<uint8_t, 32>& digest) {
    std::string out;
    for (const uint8_t byte : digest) {
      out += "0123456789abcdef"[byte >> 4];
      out += "0123456789abcdef"[byte & 15];
    }
    return out;
  };
  const auto of = [&](const std::string& text, size_t piece) {
    Sha256 sha;
    for (size_t at = 0; at < text.size(); at += piece) {
      const std::string part = text.substr(at, piece);
      sha.update({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
    }
    return hex(sha.digest());
  };
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const std::string two = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
  const std::string million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  for (const size_t piece : {1, 3, 63, 64, 65, 1000}) {
    CHECK_EQUAL(of("abc", piece), abc);
    CHECK_EQUAL(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece), two);
    CHECK_EQUAL(of(std::string(1000000, 'a'), piece), million);
  }
}

}  // namespace
}  // namespace swathpack::test
