// What happened when: a run cut into equal intervals, each with its counts and latencies.
//
// The number of intervals is bounded. When a run outgrows them, neighbours are merged and the intervals double, so that
// the memory of an hour is that of a minute. Not thread-safe: one for each writer, merged at the end.
#ifndef FLASHCORE_CLIENT_LOAD_TIMELINE_H_
#define FLASHCORE_CLIENT_LOAD_TIMELINE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/load/histogram.h"

namespace flashcore {

struct TimelineInterval {
  int64_t answered = 0;
  int64_t failed = 0;
  Histogram latency{Histogram::kCoarse};  // From the intended start, of the answered calls.

  void Merge(const TimelineInterval& other);
};

class Timeline {
 public:
  static constexpr size_t kMaxIntervals = 128;
  static constexpr int64_t kFirstWidthNs = 100'000'000;

  // `offset_ns`: the call's intended start, after the start of the measurement. Negative counts as 0.
  void RecordAnswer(int64_t offset_ns, int64_t latency_ns);
  void RecordFailure(int64_t offset_ns);
  void Merge(const Timeline& other);

  int64_t width_ns() const { return width_ns_; }
  // From the start of the measurement to the last call.
  const std::vector<TimelineInterval>& intervals() const { return intervals_; }

 private:
  TimelineInterval& At(int64_t offset_ns);
  void Double();

  int64_t width_ns_ = kFirstWidthNs;
  std::vector<TimelineInterval> intervals_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_TIMELINE_H_
