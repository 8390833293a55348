#include "client/load/recorder.h"

#include <sched.h>

#include <algorithm>

namespace flashcore {

Recorder::Recorder(size_t shards) {
  const size_t count = std::clamp<size_t>(shards, 1, kMaxShards);
  for (size_t i = 0; i < count; ++i) shards_.push_back(std::make_unique<Shard>());
}

Recorder::Shard& Recorder::ShardOfThisCpu() {
  // Threads that share a CPU do not run at once, so they seldom wait for each other's lock.
  return *shards_[static_cast<size_t>(std::max(0, sched_getcpu())) % shards_.size()];
}

void Recorder::Record(const CallTimes& times, int64_t start_ns, const PreparedRequest& request,
                      const CallOutcome& outcome) {
  Shard& shard = ShardOfThisCpu();
  const MutexLock lock(shard.mutex);
  shard.stats.Record(times, start_ns, request, outcome);
  if (outcome.status.ok()) shard.recent.Record(times.ended_ns - times.intended_ns);
}

void Recorder::CountCheckSkipped() {
  Shard& shard = ShardOfThisCpu();
  const MutexLock lock(shard.mutex);
  ++shard.stats.check_skipped;
}

void Recorder::CountCheckWait() {
  Shard& shard = ShardOfThisCpu();
  const MutexLock lock(shard.mutex);
  ++shard.stats.check_waits;
}

RecentCalls Recorder::TakeRecent() {
  Histogram recent(Histogram::kCoarse);
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const MutexLock lock(shard->mutex);
    recent.Merge(shard->recent);
    shard->recent.Clear();
  }
  constexpr double kMedian = 0.5;
  constexpr double kTail = 0.99;
  return {.answered = recent.count(), .p50_ns = recent.Quantile(kMedian), .p99_ns = recent.Quantile(kTail)};
}

CallStats Recorder::Merged() const {
  CallStats merged;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const MutexLock lock(shard->mutex);
    merged.Merge(shard->stats);
  }
  return merged;
}

}  // namespace flashcore
