// One run: conducts a loop from its first call to its last, and says what came of it.
#ifndef FLASHCORE_CLIENT_LOAD_RUNNER_H_
#define FLASHCORE_CLIENT_LOAD_RUNNER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "client/load/call_stats.h"
#include "client/load/client_use.h"
#include "client/load/clock.h"
#include "client/load/loop.h"
#include "client/load/recorder.h"
#include "client/load/run_control.h"
#include "client/load/run_options.h"
#include "client/load/transport.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"

namespace flashcore {

// A moment of a run.
struct RunProgress {
  bool warming_up = false;
  absl::Duration elapsed;  // Since the start of the run.
  int64_t answered = 0;    // Measured ones.
  int64_t failed = 0;
  int in_flight = 0;
  RecentCalls recent;  // Since the last progress.
  absl::Duration recent_span;
};

struct RunResult {
  CallStats stats;
  absl::Duration elapsed;  // From the start of the measured part to the end of its last call.
  int64_t unsent = 0;      // Calls that were due, and were never sent.
  bool gave_up = false;
  bool stopped = false;  // By Stop.
  ClientUse client;      // In the measured part.
};

class Runner {
 public:
  static constexpr absl::Duration kProgressInterval = absl::Milliseconds(250);

  // `transport`, `workload`, `verifier` (nullptr: verify nothing) and `clock` must outlive the runner.
  Runner(Transport& transport, const Workload& workload, Verifier* verifier, const RunOptions& options,
         LoadClock& clock);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Blocks until the run is over. Calls `progress` every kProgressInterval on this thread. Once only.
  RunResult Run(const std::function<void(const RunProgress&)>& progress);

  // Makes no further calls; Run returns when those under way have ended. Thread-safe.
  void Stop();

 private:
  // Starts the meter when the measured part begins.
  void MeterIfMeasuring();
  RunProgress Progress(int64_t last_ns);
  RunResult Collect();

  const RunOptions options_;
  LoadClock& clock_;
  RunControl control_;
  Recorder recorder_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<ClientUseMeter> meter_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RUNNER_H_
