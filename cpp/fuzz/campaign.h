// Two campaigns of damaged records, judged one by one; mutation_campaign.cpp runs them.
//
// Mutation i is a function of (seed, i) alone, so a campaign can be run in pieces, by several processes or on
// several machines, and any finding can be had again from its number.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "any_array.h"

namespace swathpack::fuzz {

struct Totals {
  uint64_t mutations = 0;
  uint64_t refused = 0;
  uint64_t decoded = 0;       // the damaged bytes are a record of their own
  uint64_t undone = 0;        // the damage left the bytes as they were
  uint64_t tables_taken = 0;  // damaged table files that were taken
  uint64_t broken = 0;        // properties that did not hold
  double slowest_s = 0;       // processor time of one decoding call
  size_t peak_bytes = 0;      // most memory that one decoding call held beyond what it was given
  uint64_t digest = 0;        // sum over all mutations of a hash of what was said: equal on every machine
};

class Campaign {
 public:
  enum class Mode : uint8_t {
    kKept,        // checksums are left as they are
    kRecomputed,  // length, check byte and CRC are made right again
  };

  // `table_files` are of model packages; random ones are added to them.
  Campaign(Mode mode, uint64_t seed, const std::vector<test::Buffer>& table_files);
  ~Campaign();

  void run(uint64_t index);
  [[nodiscard]] const Totals& totals() const { return totals_; }

 private:
  struct Subject;
  struct Convoy;
  void add(test::Case c, const test::Buffer& record, const test::Buffer& table_file);
  void add_real(const test::Buffer& table_file, bool one_lane, test::Random& random);
  test::Case real_case(const test::Buffer& table_file, uint32_t n_tiles, unsigned log2_lanes,
                       test::Random& random);
  void add_vast();
  void add_convoy(test::Case c);

  void run_kept(test::Random& random);
  void run_stream(test::Random& random);
  void run_recomputed(test::Random& random);
  void run_convoy(test::Random& random);
  void run_table_file(test::Random& random);
  [[nodiscard]] test::Buffer damaged_record(const Subject& subject, test::Random& random);
  MaybeError decode(Subject& subject, const test::Buffer& record, bool as_other);
  void note(const std::string& said);
  void broken(const std::string& what);

  Mode mode_;
  uint64_t seed_, index_ = 0;
  std::vector<std::string> isas_;
  std::vector<std::unique_ptr<Subject>> subjects_;
  std::vector<std::unique_ptr<Convoy>> convoys_;
  Totals totals_;
};

}  // namespace swathpack::fuzz
