// One piece of a campaign: mutation_campaign kept|recomputed FIRST COUNT SEED [tables.bin …]
//
// One line of JSON on standard output says what was done; the exit status is 0 when every property held. A
// sanitizer that ends the process has the number of the mutation printed first.
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "campaign.h"

#if defined(__SANITIZE_ADDRESS__)
#define SWATHPACK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWATHPACK_SANITIZED 1
#endif
#endif
#ifdef SWATHPACK_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

unsigned long long current = 0;

void say_where() { std::fprintf(stderr, "ended at mutation %llu\n", current); }

}  // namespace

int main(int argc, char** argv) {
  using namespace swathpack;
  const std::string name = argc > 1 ? argv[1] : "";
  if (argc < 5 || (name != "kept" && name != "recomputed")) {
    std::fprintf(stderr, "usage: mutation_campaign kept|recomputed FIRST COUNT SEED [tables.bin ...]\n");
    return 2;
  }
  const uint64_t first = std::strtoull(argv[2], nullptr, 10), count = std::strtoull(argv[3], nullptr, 10),
                 seed = std::strtoull(argv[4], nullptr, 10);
  std::vector<test::Buffer> table_files;
  for (int i = 5; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    table_files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    if (!in || table_files.back().empty()) {
      std::fprintf(stderr, "%s cannot be read\n", argv[i]);
      return 2;
    }
  }
#ifdef SWATHPACK_SANITIZED
  __sanitizer_set_death_callback(say_where);
  constexpr bool kIsSanitized = true;
#else
  (void)say_where;
  constexpr bool kIsSanitized = false;
#endif
  const auto mode = name == "kept" ? fuzz::Campaign::Mode::kKept : fuzz::Campaign::Mode::kRecomputed;
  fuzz::Campaign campaign(mode, seed, table_files);
  for (current = first; current < first + count; ++current) campaign.run(current);

  const fuzz::Totals& t = campaign.totals();
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "{\"mode\": \"%s\", \"first\": %llu, \"seed\": %llu, \"sanitized\": %s, \"mutations\": %llu, "
      "\"refused\": %llu, \"decoded\": %llu, \"undone\": %llu, \"tables_taken\": %llu, \"broken\": %llu, "
      "\"slowest_s\": %.6f, \"peak_bytes\": %llu, \"digest\": %llu, \"back_ends\": \"",
      name.c_str(), n(first), n(seed), kIsSanitized ? "true" : "false", n(t.mutations), n(t.refused),
      n(t.decoded), n(t.undone), n(t.tables_taken), n(t.broken), t.slowest_s, n(t.peak_bytes), n(t.digest));
  for (const std::string& isa : isa_names())
    std::printf("%s%s", isa == isa_names().front() ? "" : " ", isa.c_str());
  std::printf("\"}\n");
  return t.broken == 0 && test::n_failures() == 0 ? 0 : 1;
}
