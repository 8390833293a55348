// Admission, the queue, and the lanes' threads. Work-conserving: a free lane takes what is waiting, at once, as much as
// its budgets allow; while all lanes are busy the queue gathers.
//
//                                                              +-> lane of device 0 -+
//   Admit -> (caller stages the tensors) -> Submit -> [queue] -+-> lane of device 0 -+-> Request::done
//                                                              +-> lane of device 1 -+
//
// Who gets in: fair_limit.h. Who goes first: request_order.h. What makes a batch: request_queue.h.
//
// Deadlines are looked at when a request is admitted, when it has been staged, and by every lane before it takes a
// batch; from then on it is computed. Whoever is cancelled or expires gives its place and its memory back at once.
//
// Everything ends in one of four ways: `done` runs (exactly once after Submit), or the request is dropped before
// Submit. The scheduler keeps the gauges of metrics.h and counts the batches and its own rejections; calls are the
// caller's to record.
//
// Thread-safe. Admit, Submit and Cancel never block on the device.
#ifndef FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
#define FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"
#include "server/engine/host_arena.h"
#include "server/scheduler/request.h"
#include "server/scheduler/request_queue.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"

namespace flashcore {

class Admission;
class RecycledBlocks;
struct StagingLayout;

struct SchedulerOptions {
  // Admitted requests that have not reached a lane, those whose tensors are still being staged included.
  int64_t max_queue_length = 1024;
  // Of each device. 0: the backend's default, as LaneCount says.
  int lanes = 0;
  // Budgets of one batch. Never more than kMaxBatchProblems requests; a single request always fits max_batch_bytes, or
  // Admit refuses it. Bytes are tensor bytes, in and out, each tensor rounded up to HostArena::kAlignment.
  int64_t max_batch_requests = 64;
  int64_t max_batch_bytes = int64_t{640} << 20;
  // AttentionFlops. A larger request is computed alone. 0: the backend's default, as BatchFlops says.
  double max_batch_flops = 0;
  // How long a request may wait, on a free lane, for others to share its batch. 0: not at all.
  int64_t max_queue_delay_ns = 0;
  // The longest that all admitted requests together may take to compute, at the rate measured while every lane works:
  // what is above it is refused, so that who gets in is answered soon. Low priorities may fill half of it. 0: a limit
  // that adapts, for when the server is overloaded (backlog_limit.h).
  int64_t max_backlog_ns = 0;
  // How long a lane looks out for the next request before it sleeps, as request_queue.h says. Only where a device
  // computes: a CPU has better to do.
  int64_t lane_poll_ns = 0;
};

// The most lanes that SchedulerOptions may ask for.
inline constexpr int kMaxLanes = 16;
// The greatest max_queue_delay_ns: longer is no gathering, it is an outage.
inline constexpr int64_t kMaxQueueDelayNs = 1'000'000'000;
// The greatest lane_poll_ns: a server without requests is to be idle.
inline constexpr int64_t kMaxLanePollNs = 100'000'000;

// `requested`, or if that is 0: 1 where the CPU computes, as its threads already share a batch; 3 where a device does,
// so that upload, compute and download of three batches overlap.
int LaneCount(int requested, const BackendInfo& backend);

// `requested`, or if that is 0: some ten milliseconds of a GPU, or some hundred of a CPU, whose batches need many
// requests less to keep it busy. So a batch never makes those who come next wait for long.
double BatchFlops(double requested, const BackendInfo& backend);

class Scheduler {
 public:
  // Starts the lanes' threads. `on_device_fault` is called once, on a lane's thread, when a lane fails, after the calls
  // of its batch and of the queue have failed; from then on everything is refused or failed with INTERNAL. It must not
  // block. There is at least one engine; all have the same arena. The engines, metrics and clock must outlive the
  // scheduler. Before the first scrape of the metrics.
  // INVALID_ARGUMENT: an option is out of range. Errors of Engine::CreateLane.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Create(
      absl::Span<Engine* const> engines, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
      absl::AnyInvocable<void(const absl::Status&)> on_device_fault);

  // Refuses what is new, fails what is queued with UNAVAILABLE, waits for the lanes. Not on a lane's thread.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes a place in the queue and staging memory for a valid `problem`, whose tensors will be contiguous; strides are
  // the caller's, pointers are set here. `want_lse`: also room for LSE.
  // UNIMPLEMENTED (backend), RESOURCE_EXHAUSTED (queue, memory, the connection's share of them, or larger than a batch
  // may ever be: the message says which; all but the last with a hint for retry_hint.h), DEADLINE_EXCEEDED, UNAVAILABLE
  // (draining), INTERNAL (device fault). Each is counted as a Rejection.
  absl::StatusOr<std::shared_ptr<Request>> Admit(const AttentionProblem& problem, bool want_lse,
                                                 const RequestTerms& terms);

  // Once per request. If its deadline has passed, `done` runs before this returns.
  void Submit(std::shared_ptr<Request> request);

  // If the request still waits in the queue: it leaves at once and `done` runs with CANCELLED before this returns.
  // If it is not submitted yet: Submit will run `done` with CANCELLED. Otherwise nothing happens. Idempotent.
  void Cancel(const std::shared_ptr<Request>& request);

  // From here on Admit gives UNAVAILABLE; admitted requests go on.
  void StartDrain();

  // Waits until no admitted request is left and every `done` has returned, until `deadline_ns` at the latest. True if
  // none is left. Not from a `done`.
  bool WaitIdle(int64_t deadline_ns);

  // Lanes that wait for work.
  int idle_lanes() { return queue_.idle_lanes(); }

 private:
  using Requests = std::vector<std::shared_ptr<Request>>;

  Scheduler(absl::Span<Engine* const> engines, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
            absl::AnyInvocable<void(const absl::Status&)> on_device_fault);
  absl::Status StartLanes();

  absl::Status CheckSupported(const AttentionProblem& problem) const;
  absl::Status Reject(Rejection reason, const absl::Status& status);
  // Staging memory for what has a place.
  absl::Status Stage(const StagingLayout& layout, bool want_lse, Request& request);
  void RunLane(size_t device, Lane& lane);
  // `problems` is scratch. The batch is moved out of `taken`.
  void RunBatch(size_t device, Lane& lane, RequestQueue::Taken& taken, std::vector<AttentionProblem>& problems);
  void FailForGood(const absl::Status& cause, Requests& batch);
  void FinishExpired(Requests& expired);
  // Ends requests that waited and never reached a lane.
  void FinishUnlaunched(Requests& requests, const absl::Status& status);
  void FinishUnlaunched(std::shared_ptr<Request> request, const absl::Status& status);
  // Runs `done`, and lets go of the request before it counts as ended.
  void Finish(std::shared_ptr<Request> request, const absl::Status& status);

  const std::vector<Engine*> engines_;
  HostArena& arena_;
  const SchedulerOptions options_;
  Metrics& metrics_;
  const Clock& clock_;
  // Called by the one who closes admission for a fault.
  absl::AnyInvocable<void(const absl::Status&)> on_device_fault_;
  const std::shared_ptr<Admission> admission_;
  const std::shared_ptr<RecycledBlocks> request_memory_;
  RequestQueue queue_;
  // Not touched while the threads run; each thread uses its own lane.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::thread> threads_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_SCHEDULER_H_
