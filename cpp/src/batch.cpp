#include "swathpack/batch.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <optional>
#include <utility>

#include "bytes.h"
#include "isa/kernels.h"
#include "swathpack/record_header.h"
#include "thread_pool.h"

namespace swathpack {
namespace {

// Runs work(worker) on up to `n` threads, this one among them. What a worker throws is thrown here, once all
// have ended.
template <class Work>
void on_threads(size_t n, Work work) {
  std::vector<std::exception_ptr> thrown(n);
  ThreadPool::of_process().run(n, [&](size_t worker) noexcept {
    try {
      work(worker);
    } catch (...) {
      thrown[worker] = std::current_exception();
    }
  });
  for (const std::exception_ptr& exception : thrown) {
    if (exception) std::rethrow_exception(exception);
  }
}

size_t worker_count(unsigned threads, size_t n_records) {
  return std::max<size_t>(1, std::min<size_t>(threads, n_records));
}

// Whether two records claim the same tile of the same layer. Headers are not believed: a record that is
// refused later may count here, which costs time and nothing else.
bool overlap(std::span<const std::span<const uint8_t>> records) {
  std::array<std::vector<std::pair<uint32_t, uint32_t>>, 16> ranges;
  for (const auto& record : records) {
    if (record.size() < kRecordHeaderBytes) continue;
    const RecordHeader h = RecordHeader::unpack(load_u64(record.data()));
    ranges[h.layer].emplace_back(h.first_tile, h.first_tile + h.tile_count());
  }
  for (auto& layer : ranges) {
    std::sort(layer.begin(), layer.end());
    for (size_t i = 1; i < layer.size(); ++i) {
      if (layer[i].first < layer[i - 1].second) return true;
    }
  }
  return false;
}

// How many records a worker takes at a time: few, so that all end at about the same time; no fewer than go
// side by side, unless that leaves workers without any.
size_t portion_of(std::span<const std::span<const uint8_t>> records, size_t n_workers) {
  if (records.empty()) return 1;
  const bool one_lane = records[0].size() >= kRecordHeaderBytes &&
                        RecordHeader::unpack(load_u64(records[0].data())).lanes() == 1;
  const size_t side_by_side = one_lane ? SideBySide::kMost : kernels().at_once;
  const size_t share = std::max<size_t>(1, records.size() / n_workers);
  return std::min(share, std::max<size_t>(side_by_side, share / 16));
}

}  // namespace

std::variant<EncodedRecords, RecordError> encode_batch(const PlaneContext& context,
                                                       const EncodeSource& source,
                                                       std::span<const uint64_t> headers, unsigned threads) {
  const size_t n_workers = worker_count(threads, headers.size());
  EncodedRecords out;
  out.buffers.resize(n_workers);
  out.places.resize(headers.size());
  std::vector<std::optional<RecordError>> errors(n_workers);
  // Records are taken in order, so all before a refused one have been begun when it is found, and are
  // finished.
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  on_threads(n_workers, [&](size_t worker) {
    RecordEncoder encoder(context, source);
    std::vector<uint8_t>& buffer = out.buffers[worker];
    while (!stop.load(std::memory_order_relaxed)) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= headers.size()) break;
      const size_t begin = buffer.size();
      if (auto error = encoder.encode(headers[i], buffer)) {
        errors[worker] = RecordError{i, std::move(*error)};
        stop.store(true, std::memory_order_relaxed);
        break;
      }
      out.places[i] = {static_cast<uint32_t>(worker), begin, buffer.size()};
    }
  });
  std::optional<RecordError> first;
  for (auto& error : errors) {
    if (error && (!first || error->record < first->record)) first = std::move(error);
  }
  if (first) return std::move(*first);
  return out;
}

std::vector<MaybeError> decode_batch(const PlaneContext& context, const DecodeTarget& target,
                                     std::span<const std::span<const uint8_t>> records, unsigned threads) {
  std::vector<MaybeError> outcomes(records.size());
  const size_t wanted = worker_count(threads, records.size());
  const size_t n_workers = wanted > 1 && overlap(records) ? 1 : wanted;
  std::atomic<size_t> next{0};
  const size_t portion = portion_of(records, n_workers);
  on_threads(n_workers, [&](size_t) {
    RecordDecoder decoder(context, target);
    for (size_t first; (first = next.fetch_add(portion, std::memory_order_relaxed)) < records.size();) {
      const size_t n = std::min(portion, records.size() - first);
      decoder.decode(records.subspan(first, n), std::span(outcomes).subspan(first, n));
    }
  });
  return outcomes;
}

}  // namespace swathpack
