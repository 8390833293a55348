// Where all threads of a run book their calls: CallStats in shards, so that they seldom meet.
#ifndef FLASHCORE_CLIENT_LOAD_RECORDER_H_
#define FLASHCORE_CLIENT_LOAD_RECORDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "client/load/call_stats.h"
#include "client/load/histogram.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// Latencies since the last look.
struct RecentCalls {
  int64_t answered = 0;
  int64_t p50_ns = 0;
  int64_t p99_ns = 0;
};

// Thread-safe. Memory is bounded, whatever is recorded.
class Recorder {
 public:
  static constexpr size_t kMaxShards = 16;

  // `shards` >= 1; as many as there are CPUs, and not more than kMaxShards, is best.
  explicit Recorder(size_t shards);

  void Record(const CallTimes& times, int64_t start_ns, const PreparedRequest& request, const CallOutcome& outcome);
  void CountCheckSkipped();
  void CountCheckWait();

  // What was recorded since the last call of this.
  RecentCalls TakeRecent();
  // All of it.
  CallStats Merged() const;

 private:
  struct Shard {
    mutable Mutex mutex;
    CallStats stats ABSL_GUARDED_BY(mutex);
    Histogram recent ABSL_GUARDED_BY(mutex){Histogram::kCoarse};
  };

  Shard& ShardOfThisCpu();

  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RECORDER_H_
