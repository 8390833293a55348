// Admission, the queue, and the lanes' threads. Work-conserving: a free lane takes what is waiting, at once, as much as
// its budgets allow; while all lanes are busy the queue gathers.
//
//   Admit -> (caller stages the tensors) -> Submit -> [queue] -> lane -> Request::done
//
// Thread-safe. Admit, Submit and Cancel never block on the device.
#ifndef FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
#define FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/stage.h"

namespace flashcore {

struct SchedulerOptions {
  // Admitted requests that have not reached a lane.
  int64_t max_queue_length = 1024;
  int lanes = 1;
  // Budgets of one batch. A single request always fits max_batch_bytes, or Admit refuses it.
  int64_t max_batch_requests = 64;
  int64_t max_batch_bytes = int64_t{256} << 20;
};

// One admitted request. Shared by the caller and the scheduler. The caller writes the inputs and `done` before Submit
// and touches nothing until `done` runs; after that everything is the caller's again.
class Request {
 public:
  // Pointers are set: q, k, v into `input`, o and lse into `output`.
  AttentionProblem problem;
  HostBlock input;   // Q, K, V, each aligned to HostArena::kAlignment. Freed by the scheduler once computed.
  HostBlock output;  // O, then LSE if wanted, each so aligned.
  int64_t deadline_ns = kNoDeadlineNs;

  // Set by the scheduler before `done`.
  StageTimes times;  // queue, upload, compute, download.
  int64_t batch_size = 0;
  std::string kernel;

  // Called exactly once after Submit, on a lane's thread or on the thread that calls Cancel or Submit; never under a
  // lock of the scheduler's. OK, DEADLINE_EXCEEDED, CANCELLED or INTERNAL. Must not block.
  absl::AnyInvocable<void(const absl::Status&)> done;

 private:
  friend class Scheduler;
  struct State;
  std::unique_ptr<State> state_;
  Request();

 public:
  ~Request();  // Gives the place in the queue back if it was never submitted.
};

class Scheduler {
 public:
  // `on_device_fault` is called once, on a lane's thread, when a lane fails; from then on everything is refused or
  // failed with INTERNAL. The engine, metrics and clock must outlive the scheduler.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Create(
      Engine& engine, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
      absl::AnyInvocable<void(const absl::Status&)> on_device_fault);

  // Refuses what is new, fails what is queued with UNAVAILABLE, waits for the lanes.
  virtual ~Scheduler() = default;

  // Takes a place in the queue and staging memory for a valid `problem`, whose tensors will be contiguous; strides are
  // the caller's, pointers are set here. `want_lse`: also room for LSE.
  // UNIMPLEMENTED (backend), RESOURCE_EXHAUSTED (queue, memory, or larger than a batch may ever be: the message says
  // which), DEADLINE_EXCEEDED, UNAVAILABLE (draining), INTERNAL (device fault).
  virtual absl::StatusOr<std::shared_ptr<Request>> Admit(const AttentionProblem& problem, bool want_lse,
                                                         int64_t deadline_ns) = 0;

  virtual void Submit(std::shared_ptr<Request> request) = 0;

  // If the request still waits in the queue: it leaves at once and `done` runs with CANCELLED before this returns.
  // Otherwise nothing happens. Idempotent.
  virtual void Cancel(const std::shared_ptr<Request>& request) = 0;

  // From here on Admit gives UNAVAILABLE; admitted requests go on.
  virtual void StartDrain() = 0;

  // Waits until no admitted request is left, until `deadline_ns` at the latest. True if none is left.
  virtual bool WaitIdle(int64_t deadline_ns) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
