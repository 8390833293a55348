// The gate in front of the queue, and the count of what has passed it and not yet ended.
//
//   Enter ---> LeaveQueue (a lane takes it, or it is dropped) ---> End (its `done` has returned)
//
// Thread-safe. Only WaitIdle blocks.
#ifndef FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_
#define FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"

namespace flashcore {

class Admission {
 public:
  // The metrics must outlive it.
  Admission(int64_t max_waiting, Metrics& metrics) : max_waiting_(max_waiting), metrics_(metrics) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Takes a place in the queue. RESOURCE_EXHAUSTED: none is free. The gate's status if it is closed.
  absl::Status Enter();
  // Gives the places of that many requests back.
  void LeaveQueue(int64_t requests);
  // Its request has been answered, or is about to be.
  void LeaveService();
  // Nothing of it is left.
  void End();

  // From here on Enter gives `reason`. INTERNAL (a fault) stays, any other reason gives way to a later one. True if
  // `reason` is now Enter's.
  bool Close(absl::Status reason);

  // Until everything that entered has ended, until `deadline_ns` of `clock` at the latest. True if it has.
  bool WaitIdle(const Clock& clock, int64_t deadline_ns);

 private:
  const int64_t max_waiting_;
  Metrics& metrics_;
  Mutex mutex_;
  CondVar idle_;
  absl::Status gate_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t unfinished_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_
