// A closed loop: `concurrency` slots, each of which sends its next request when the last one is answered.
//
//   |-- warm-up: not measured --|-- measured: by time, or a number of requests --|-- what is under way ends --|
//
// A call is measured if it started in the measured part. A slot whose call failed pauses, from 10 ms up to a second as
// failures go on, or for as long as the server asks: a loop that spins on errors measures nothing and helps nobody.
#ifndef FLASHCORE_CLIENT_LOAD_RUNNER_H_
#define FLASHCORE_CLIENT_LOAD_RUNNER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "client/attend.h"
#include "client/load/call_stats.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// Starts one call; the callback runs exactly once, on any thread, possibly before this returns. Thread-safe.
using StartAttend = std::function<void(const PreparedRequest&, AttendCallback)>;

struct RunOptions {
  int concurrency = 1;
  absl::Duration warmup = absl::ZeroDuration();
  // Measured part: this many requests if > 0, else this long.
  int64_t requests = 0;
  absl::Duration duration = absl::Seconds(10);
  // Ends the run when calls fail and none has been answered for this long.
  absl::Duration give_up_after = absl::Seconds(10);
  // Of the answers, sampled at random, warm-up included: 0 to 1.
  double verify_fraction = 0;
  uint64_t seed = 0;
};

// A moment of a run.
struct RunProgress {
  bool warming_up = false;
  absl::Duration elapsed;  // Since the start of the run.
  int64_t answered = 0;    // Measured ones.
  int64_t failed = 0;
};

struct RunResult {
  CallStats stats;
  // From the start of the measured part to the end of its last call.
  absl::Duration elapsed;
  bool gave_up = false;
  bool stopped = false;  // By Stop.
};

class Runner {
 public:
  static constexpr absl::Duration kProgressInterval = absl::Milliseconds(250);

  // `workload` and `verifier` (nullptr: verify nothing) must outlive the runner.
  Runner(StartAttend start, const Workload& workload, Verifier* verifier, const RunOptions& options);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Blocks until the run is over. Calls `progress` every kProgressInterval on this thread. Once only.
  RunResult Run(const std::function<void(const RunProgress&)>& progress);

  // Starts no further calls; Run returns when those under way have ended. Thread-safe.
  void Stop();

 private:
  class Slot;
  using Retry = std::pair<int64_t, Slot*>;  // When, on the steady clock in nanoseconds.

  enum class Permit : uint8_t { kNone, kUnmeasured, kMeasured };

  Permit MayStart(int64_t now_ns);
  void RetryAt(int64_t when_ns, Slot* slot);
  void SlotEnded();
  void NoteOutcome(bool answered, bool measured);
  RunProgress Progress(int64_t now_ns) const;
  bool ShouldGiveUp(int64_t now_ns) const;
  // Removes and returns the slots that are due, or all of them once the run is stopping.
  std::vector<Slot*> TakeDue(int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until slots are due (then returns them), all slots have ended, or the next progress report is.
  std::vector<Slot*> WaitForDue(int64_t until_ns);
  RunResult Collect(int64_t measure_start_ns) const;

  const StartAttend start_;
  const Workload& workload_;
  Verifier* const verifier_;
  const RunOptions options_;

  int64_t run_start_ns_ = 0;
  int64_t measure_start_ns_ = 0;
  int64_t measure_end_ns_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;

  std::atomic<bool> stopping_ = false;
  std::atomic<bool> stopped_by_caller_ = false;
  std::atomic<bool> gave_up_ = false;
  std::atomic<int64_t> requests_started_ = 0;  // Measured ones.
  std::atomic<int64_t> answered_ = 0;
  std::atomic<int64_t> failed_ = 0;
  std::atomic<int64_t> last_answer_ns_ = 0;
  std::atomic<int64_t> failed_since_answer_ = 0;

  mutable Mutex mutex_;
  CondVar changed_;
  int active_slots_ ABSL_GUARDED_BY(mutex_) = 0;
  std::priority_queue<Retry, std::vector<Retry>, std::greater<>> retries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RUNNER_H_
