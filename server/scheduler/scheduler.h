// Admission, the queue, and the lanes' threads. Work-conserving: a free lane takes what is waiting, at once, as much as
// its budgets allow, first come first served; while all lanes are busy the queue gathers.
//
//   Admit -> (caller stages the tensors) -> Submit -> [queue] -> lane -> Request::done
//
// Everything ends in one of four ways: `done` runs (exactly once after Submit), or the request is dropped before
// Submit. The scheduler keeps the gauges of metrics.h and counts the batches and its own rejections; calls are the
// caller's to record.
//
// Thread-safe. Admit, Submit and Cancel never block on the device.
#ifndef FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
#define FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"
#include "server/engine/host_arena.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/priority.h"
#include "server/telemetry/stage.h"

namespace flashcore {

class Admission;
class RequestQueue;

struct SchedulerOptions {
  // Admitted requests that have not reached a lane, those whose tensors are still being staged included.
  int64_t max_queue_length = 1024;
  // 0: the backend's default, as LaneCount says.
  int lanes = 0;
  // Budgets of one batch. Never more than kMaxBatchProblems requests; a single request always fits max_batch_bytes, or
  // Admit refuses it. Bytes are tensor bytes, in and out, each tensor rounded up to HostArena::kAlignment.
  int64_t max_batch_requests = 64;
  int64_t max_batch_bytes = int64_t{640} << 20;
};

// The most lanes that SchedulerOptions may ask for.
inline constexpr int kMaxLanes = 16;

// `requested`, or if that is 0: 1 where the CPU computes, as its threads already share a batch; 3 where a device does,
// so that upload, compute and download of three batches overlap.
int LaneCount(int requested, const BackendInfo& backend);

// On which terms a request waits for a lane.
struct RequestTerms {
  int64_t deadline_ns = kNoDeadlineNs;
  Priority priority = Priority::kNormal;
  // Opaque; requests with the same key share what one connection may take.
  uint64_t connection = 0;
};

// One admitted request. Shared by the caller and the scheduler. The caller writes the inputs and `done` before Submit
// and touches nothing until `done` runs; after that everything is the caller's again. May outlive the scheduler, but
// not its metrics.
class Request {
 public:
  // Gives the place in the queue back if it was never submitted.
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // Pointers are set: q, k, v into `input`, o and lse into `output`.
  AttentionProblem problem;
  HostBlock input;   // Q, K, V, each aligned to HostArena::kAlignment. Freed by the scheduler before `done`.
  HostBlock output;  // O, then LSE if wanted, each so aligned.
  RequestTerms terms;

  // Set by the scheduler before `done`.
  StageTimes times;        // queue; upload, compute, download of the whole batch.
  int64_t batch_size = 0;  // 0 if it was never launched.
  std::string kernel;

  // Called exactly once after Submit, on a lane's thread or on the thread that calls Cancel, Submit or the scheduler's
  // destructor; never under a lock of the scheduler's, so it may call Admit, Submit and Cancel. OK, DEADLINE_EXCEEDED,
  // CANCELLED, UNAVAILABLE or INTERNAL. Must not block.
  absl::AnyInvocable<void(const absl::Status&)> done;

 private:
  friend class RequestQueue;
  friend class Scheduler;
  enum class Phase : uint8_t { kAdmitted, kCancelledEarly, kQueued, kTaken };

  explicit Request(std::shared_ptr<Admission> admission);

  const std::shared_ptr<Admission> admission_;
  int64_t batch_bytes_ = 0;
  int64_t submitted_ns_ = 0;
  // Both under the queue's mutex from Submit on.
  Phase phase_ = Phase::kAdmitted;
  std::list<std::shared_ptr<Request>>::iterator position_;
};

class Scheduler {
 public:
  // Starts the lanes' threads. `on_device_fault` is called once, on a lane's thread, when a lane fails, after the calls
  // of its batch and of the queue have failed; from then on everything is refused or failed with INTERNAL. It must not
  // block. The engine, metrics and clock must outlive the scheduler. Before the first scrape of the metrics.
  // INVALID_ARGUMENT: an option is out of range. Errors of Engine::CreateLane.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Create(
      Engine& engine, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
      absl::AnyInvocable<void(const absl::Status&)> on_device_fault);

  // Refuses what is new, fails what is queued with UNAVAILABLE, waits for the lanes. Not on a lane's thread.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes a place in the queue and staging memory for a valid `problem`, whose tensors will be contiguous; strides are
  // the caller's, pointers are set here. `want_lse`: also room for LSE.
  // UNIMPLEMENTED (backend), RESOURCE_EXHAUSTED (queue, memory, or larger than a batch may ever be: the message says
  // which), DEADLINE_EXCEEDED, UNAVAILABLE (draining), INTERNAL (device fault). Each is counted as a Rejection.
  absl::StatusOr<std::shared_ptr<Request>> Admit(const AttentionProblem& problem, bool want_lse,
                                                 const RequestTerms& terms);

  // Once per request.
  void Submit(std::shared_ptr<Request> request);

  // If the request still waits in the queue: it leaves at once and `done` runs with CANCELLED before this returns.
  // If it is not submitted yet: Submit will run `done` with CANCELLED. Otherwise nothing happens. Idempotent.
  void Cancel(const std::shared_ptr<Request>& request);

  // From here on Admit gives UNAVAILABLE; admitted requests go on.
  void StartDrain();

  // Waits until no admitted request is left and every `done` has returned, until `deadline_ns` at the latest. True if
  // none is left. Not from a `done`.
  bool WaitIdle(int64_t deadline_ns);

 private:
  using Requests = std::vector<std::shared_ptr<Request>>;

  Scheduler(Engine& engine, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
            absl::AnyInvocable<void(const absl::Status&)> on_device_fault);
  absl::Status StartLanes();

  absl::Status Reject(Rejection reason, const absl::Status& status);
  void RunLane(Lane& lane);
  void RunBatch(Lane& lane, Requests batch, int64_t taken_ns);
  void FailForGood(const absl::Status& cause, Requests batch);
  // Ends requests that waited and never reached a lane.
  void FinishUnlaunched(Requests requests, const absl::Status& status);
  // Runs `done`, and lets go of the request before it counts as ended.
  void Finish(std::shared_ptr<Request> request, const absl::Status& status);

  Engine& engine_;
  const SchedulerOptions options_;
  Metrics& metrics_;
  const Clock& clock_;
  absl::AnyInvocable<void(const absl::Status&)>
      on_device_fault_;  // Called by the one who closes admission for a fault.
  const std::shared_ptr<Admission> admission_;
  const std::unique_ptr<RequestQueue> queue_;
  // Not touched while the threads run; each thread uses its own lane.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::thread> threads_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
