// A way of making calls: ClosedLoop or OpenLoop. The Runner conducts it.
#ifndef FLASHCORE_CLIENT_LOAD_LOOP_H_
#define FLASHCORE_CLIENT_LOAD_LOOP_H_

#include "absl/time/time.h"
#include "client/load/clock.h"
#include "client/load/recorder.h"
#include "client/load/run_control.h"
#include "client/load/run_options.h"
#include "client/load/transport.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"

namespace flashcore {

// What a loop works with; all of it outlives the loop.
struct LoopParts {
  Transport& transport;
  const Workload& workload;
  Verifier* verifier;  // nullptr: verify nothing.
  LoadClock& clock;
  RunControl& control;
  Recorder& recorder;
  const RunOptions& options;
};

class Loop {
 public:
  Loop() = default;
  virtual ~Loop() = default;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Starts making calls. Once, after RunControl::Begin.
  virtual void Start() = 0;
  // Works or waits for about this long, or until every call has ended and no more will be made: true then. From one
  // thread only. A loop that was started may be destroyed after that.
  virtual bool WorkFor(absl::Duration time) = 0;
  // Notices at once that the control has been stopped. Thread-safe.
  virtual void Wake() = 0;
  // Calls under way. Thread-safe.
  virtual int in_flight() const = 0;
  // Calls that were due, and were not sent when the run was over. After WorkFor has said true.
  virtual int64_t unsent() const = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_LOOP_H_
