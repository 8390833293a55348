#include "client/load/timeline.h"

#include <algorithm>
#include <utility>

namespace flashcore {

void TimelineInterval::Merge(const TimelineInterval& other) {
  answered += other.answered;
  failed += other.failed;
  latency.Merge(other.latency);
}

void Timeline::RecordAnswer(int64_t offset_ns, int64_t latency_ns) {
  TimelineInterval& interval = At(offset_ns);
  ++interval.answered;
  interval.latency.Record(latency_ns);
}

void Timeline::RecordFailure(int64_t offset_ns) { ++At(offset_ns).failed; }

void Timeline::Merge(const Timeline& other) {
  while (width_ns_ < other.width_ns_) Double();
  for (size_t i = 0; i < other.intervals_.size(); ++i) {
    At(static_cast<int64_t>(i) * other.width_ns_).Merge(other.intervals_[i]);
  }
}

TimelineInterval& Timeline::At(int64_t offset_ns) {
  const int64_t offset = std::max<int64_t>(0, offset_ns);
  while (offset / width_ns_ >= static_cast<int64_t>(kMaxIntervals)) Double();
  const auto index = static_cast<size_t>(offset / width_ns_);
  if (index >= intervals_.size()) intervals_.resize(index + 1);
  return intervals_[index];
}

void Timeline::Double() {
  for (size_t i = 0; i < intervals_.size(); ++i) {
    if (i % 2 == 1) {
      intervals_[i / 2].Merge(intervals_[i]);
    } else if (i > 0) {
      intervals_[i / 2] = std::move(intervals_[i]);
    }
  }
  intervals_.resize((intervals_.size() + 1) / 2);
  width_ns_ *= 2;
}

}  // namespace flashcore
