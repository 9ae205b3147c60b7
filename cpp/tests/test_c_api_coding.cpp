// The C functions: planning, encoding and decoding do what the C++ core does.
#include <limits>

#include "c_api_guard.h"
#include "c_api_setup.h"

namespace swathpack::test {
namespace {

TEST_CASE("C: a buffer that is too small is left alone, and the call says how much it takes") {
  Setup s;
  const auto headers = s.plan(0);
  CHECK(headers.size() > 1);
  size_t n = 0;
  std::vector<uint64_t> few(headers.size() - 1, 77);
  CHECK_EQUAL(swathpack_plan(s.plane, &s.source, 0, 0, 18, few.data(), few.size(), &n, &s.error),
              SWATHPACK_SMALL_BUFFER);
  CHECK_EQUAL(n, headers.size());
  CHECK(few == std::vector<uint64_t>(few.size(), 77));

  std::vector<size_t> offsets(headers.size() + 1, 5);
  size_t size = 0;
  CHECK_EQUAL(swathpack_encode_into(s.plane, &s.source, headers.data(), headers.size(), 1, nullptr, 0,
                                    offsets.data(), offsets.size(), &size, &s.error),
              SWATHPACK_SMALL_BUFFER);
  CHECK(size > 13 * headers.size() && offsets[0] == 5);
  Buffer exact(size);
  CHECK_EQUAL(swathpack_encode_into(s.plane, &s.source, headers.data(), headers.size(), 1, exact.data(),
                                    size - 1, offsets.data(), offsets.size(), &size, &s.error),
              SWATHPACK_SMALL_BUFFER);
  CHECK(exact == Buffer(size));
  CHECK_EQUAL(swathpack_encode_into(s.plane, &s.source, headers.data(), headers.size(), 1, exact.data(), size,
                                    offsets.data(), offsets.size(), &size, &s.error),
              SWATHPACK_OK);
  CHECK_EQUAL(offsets.back(), size);

  std::vector<swathpack_found> found(headers.size());
  CHECK_EQUAL(swathpack_scan(exact.data(), size, 0, found.data(), found.size() - 1, &n, &s.error),
              SWATHPACK_SMALL_BUFFER);
  CHECK_EQUAL(n, headers.size());
  CHECK_EQUAL(swathpack_scan(exact.data(), size, 0, found.data(), found.size(), &n, &s.error), SWATHPACK_OK);
  for (size_t i = 0; i < n; ++i) {
    CHECK_EQUAL(found[i].offset, offsets[i]);
    CHECK_EQUAL(found[i].size, offsets[i + 1] - offsets[i]);
  }
  CHECK_EQUAL(
      swathpack_scan(exact.data(), size, std::numeric_limits<size_t>::max(), nullptr, 0, &n, &s.error), 0);
  CHECK_EQUAL(n, size_t{0});
}

TEST_CASE("C: records are those of the C++ encoder, on any number of threads, and decode to the same") {
  Random random(31);
  for (int i = 0; i < 150; ++i) {
    const Case c = random_case(random);
    Buffer expected;
    RecordEncoder encoder(c.context(), c.source());
    if (const auto error = encoder.encode(c.header, expected)) fail(__FILE__, __LINE__, error->what);
    const swathpack_plane plane{&c.tables, 0, c.ladder_index, c.n_tiles, c.derived, Buffer(c.n_tiles)};
    // The C functions take one mask: they find out themselves which tiles it masks wholly.
    const swathpack_source source = {c.symbols.data(),     2 * c.symbols.size(), SWATHPACK_INT16,
                                     SWATHPACK_TILE_ORDER, c.token_mask.data(),  c.token_mask.size()};
    const std::vector<uint64_t> headers(1 + i % 3, c.header);
    swathpack_error error{};
    swathpack_records* records = nullptr;
    CHECK_EQUAL(
        swathpack_encode(&plane, &source, headers.data(), headers.size(), 1 + i % 4, &records, &error), 0);
    std::vector<swathpack_bytes> all(headers.size());
    for (size_t r = 0; r < headers.size(); ++r) {
      CHECK_EQUAL(swathpack_records_get(records, r, &all[r].data, &all[r].size, &error), 0);
      CHECK(Buffer(all[r].data, all[r].data + all[r].size) == expected);
    }
    CHECK_EQUAL(swathpack_records_get(records, headers.size(), &all[0].data, &all[0].size, nullptr),
                SWATHPACK_BAD_INPUT);

    Decoded wanted(c);
    (void)decode_exactly(c, expected, wanted);
    Target target(c.symbols.size(), c.token_mask.size(), c.n_tiles);
    std::fill(target.values.begin(), target.values.end(), int16_t{77});
    std::fill(target.token_mask.begin(), target.token_mask.end(), uint8_t{7});
    size_t n_refused = 9;
    CHECK_EQUAL(swathpack_decode(&plane, all.data(), all.size(), &target.raw, 2, nullptr, &n_refused, &error),
                0);
    CHECK_EQUAL(n_refused, size_t{0});
    CHECK(target.values == wanted.symbols && target.token_mask == wanted.token_mask &&
          target.layers == wanted.layers);
    swathpack_records_free(records);
  }
}

TEST_CASE("C: latents are quantised to the symbols whose records they give") {
  Setup s;
  std::vector<float> latents(s.values.size());
  for (size_t i = 0; i < latents.size(); ++i) latents[i] = (static_cast<float>(i % 23) - 11) * 0.77f;
  const swathpack_source floats = {
      latents.data(), 4 * latents.size(), SWATHPACK_FLOAT32, SWATHPACK_TILE_ORDER, nullptr, 0};
  CHECK_EQUAL(swathpack_quantise(s.plane, &floats, 0, s.values.data(), s.source.size, &s.error), 0);
  CHECK_EQUAL(s.values[8], int16_t{-1});  // layer 0, step 2: −2.31 / 2 − 0.25 = 0.905 → 1
  for (const unsigned layer : {0u, 1u}) {
    uint64_t of_floats[6], of_symbols[6];
    CHECK_EQUAL(swathpack_tile_costs(s.plane, &floats, layer, 0, of_floats, 6, &s.error), 0);
    CHECK_EQUAL(swathpack_tile_costs(s.plane, &s.source, layer, 0, of_symbols, 6, &s.error), 0);
    CHECK(std::equal(of_floats, of_floats + 6, of_symbols));
    const auto headers = s.plan(layer);
    Buffer a(1000), b(1000);
    std::vector<size_t> offsets(headers.size() + 1);
    size_t size_a = 0, size_b = 0;
    CHECK_EQUAL(swathpack_encode_into(s.plane, &floats, headers.data(), headers.size(), 1, a.data(), a.size(),
                                      offsets.data(), offsets.size(), &size_a, &s.error),
                0);
    CHECK_EQUAL(swathpack_encode_into(s.plane, &s.source, headers.data(), headers.size(), 1, b.data(),
                                      b.size(), offsets.data(), offsets.size(), &size_b, &s.error),
                0);
    CHECK(size_a == size_b && a == b);
  }
  latents[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_BAD(swathpack_quantise(s.plane, &floats, 0, s.values.data(), s.source.size, e));
  uint64_t costs[6];
  CHECK_BAD(swathpack_tile_costs(s.plane, &floats, 1, 0, costs, 6, e));
}

TEST_CASE("C: damaged records are refused one by one, the others decode") {
  Setup s;
  const auto headers = s.plan(0);
  swathpack_records* records = nullptr;
  CHECK_EQUAL(swathpack_encode(s.plane, &s.source, headers.data(), headers.size(), 1, &records, &s.error), 0);
  std::vector<Buffer> copies;
  std::vector<swathpack_bytes> all;
  for (size_t i = 0; i < headers.size(); ++i) {
    const uint8_t* data = nullptr;
    size_t size = 0;
    CHECK_EQUAL(swathpack_records_get(records, i, &data, &size, &s.error), 0);
    copies.emplace_back(data, data + size);
  }
  swathpack_records_free(records);
  copies[1].back() ^= 1;
  copies.push_back(Buffer(copies[0].begin(), copies[0].begin() + 9));
  copies.push_back({});
  for (const Buffer& copy : copies) all.push_back({copy.data(), copy.size()});
  Target target(72, 24, 6);
  std::vector<swathpack_error> outcomes(all.size());
  size_t n_refused = 0;
  CHECK_EQUAL(swathpack_decode(s.plane, all.data(), all.size(), &target.raw, 2, outcomes.data(), &n_refused,
                               &s.error),
              SWATHPACK_CORRUPT);
  CHECK_EQUAL(s.error.record, int64_t{1});
  CHECK_EQUAL(n_refused, size_t{3});
  const size_t n = headers.size();
  for (size_t i = 0; i < n; ++i) CHECK_EQUAL(outcomes[i].status, i == 1 ? SWATHPACK_CORRUPT : SWATHPACK_OK);
  CHECK_EQUAL(outcomes[n].status, SWATHPACK_TRUNCATED);
  CHECK_EQUAL(outcomes[n + 1].status, SWATHPACK_TRUNCATED);
  CHECK(outcomes[0].text[0] == 0 && outcomes[n].record == static_cast<int64_t>(n));
  CHECK_EQUAL(target.layers[0], uint16_t{1});
  CHECK_EQUAL(target.layers[RecordHeader::unpack(headers[1]).first_tile], uint16_t{0});
}

TEST_CASE("C: a header that the encoder refuses is named") {
  Setup s;
  auto headers = s.plan(0);
  headers.back() |= uint64_t{1} << 60;  // check and length are to be 0
  swathpack_records* records = nullptr;
  CHECK_EQUAL(swathpack_encode(s.plane, &s.source, headers.data(), headers.size(), 2, &records, &s.error),
              SWATHPACK_BAD_INPUT);
  CHECK_EQUAL(s.error.record, static_cast<int64_t>(headers.size()) - 1);
  CHECK(records == nullptr);
  CHECK_EQUAL(swathpack_encode(s.plane, &s.source, nullptr, 0, 1, &records, &s.error), SWATHPACK_OK);
  swathpack_records_free(records);
}

}  // namespace
}  // namespace swathpack::test
