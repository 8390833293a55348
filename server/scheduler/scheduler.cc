#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/request_queue.h"

namespace flashcore {
namespace {

constexpr int kDefaultDeviceLanes = 3;
constexpr int kDefaultHostLanes = 1;

int64_t RoundUpToAlignment(int64_t bytes) {
  constexpr auto kAlignment = static_cast<int64_t>(HostArena::kAlignment);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Where a problem's tensors lie in its two blocks: Q, K, V in one, O, LSE in the other.
struct StagingLayout {
  int64_t q_bytes = 0;    // Also O's.
  int64_t kv_bytes = 0;   // K's and V's, each.
  int64_t lse_bytes = 0;  // 0 if not wanted.

  int64_t input_bytes() const { return q_bytes + 2 * kv_bytes; }
  int64_t output_bytes() const { return q_bytes + lse_bytes; }
  int64_t total_bytes() const { return input_bytes() + output_bytes(); }
};

absl::Status TooLarge(int64_t max_batch_bytes) {
  return absl::ResourceExhaustedError(absl::StrCat("the request's tensors, in and out, are larger than the ",
                                                   max_batch_bytes, " bytes that this server computes at once"));
}

// RESOURCE_EXHAUSTED if the sum is above `max_batch_bytes`.
absl::StatusOr<StagingLayout> LayOut(const AttentionProblem& problem, bool want_lse, int64_t max_batch_bytes) {
  const auto element_bytes = static_cast<int64_t>(SizeOf(problem.dtype));
  const int64_t q_bytes = QueryElements(problem) * element_bytes;
  const int64_t kv_bytes = KeyValueElements(problem) * element_bytes;
  const int64_t lse_bytes = want_lse ? LseElements(problem) * static_cast<int64_t>(sizeof(float)) : 0;
  // One by one first: each fits int64, their sum need not.
  if (std::max({q_bytes, kv_bytes, lse_bytes}) > max_batch_bytes) return TooLarge(max_batch_bytes);
  const StagingLayout layout = {.q_bytes = RoundUpToAlignment(q_bytes),
                                .kv_bytes = RoundUpToAlignment(kv_bytes),
                                .lse_bytes = RoundUpToAlignment(lse_bytes)};
  if (layout.total_bytes() > max_batch_bytes) return TooLarge(max_batch_bytes);
  return layout;
}

void PointIntoBlocks(const StagingLayout& layout, bool want_lse, Request& request) {
  std::byte* const input = request.input.data();
  std::byte* const output = request.output.data();
  request.problem.q = input;
  request.problem.k = input + layout.q_bytes;
  request.problem.v = input + layout.q_bytes + layout.kv_bytes;
  request.problem.o = output;
  request.problem.lse = want_lse ? reinterpret_cast<float*>(output + layout.q_bytes) : nullptr;
}

absl::Status AllocateBlocks(HostArena& arena, const StagingLayout& layout, Request& request) {
  absl::StatusOr<HostBlock> input = arena.Allocate(static_cast<size_t>(layout.input_bytes()));
  if (!input.ok()) return input.status();
  absl::StatusOr<HostBlock> output = arena.Allocate(static_cast<size_t>(layout.output_bytes()));
  if (!output.ok()) return output.status();
  request.input = *std::move(input);
  request.output = *std::move(output);
  return absl::OkStatus();
}

Rejection ReasonOfGate(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return Rejection::kQueueFull;
  return absl::IsInternal(status) ? Rejection::kDeviceFault : Rejection::kDraining;
}

absl::Status OutOfRange(absl::string_view option, int64_t value, int64_t least, int64_t greatest) {
  return absl::InvalidArgumentError(absl::StrCat(option, " is ", value, ", not from ", least, " to ", greatest));
}

absl::Status CheckOptions(const SchedulerOptions& options) {
  constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
  constexpr auto kMaxRequests = static_cast<int64_t>(kMaxBatchProblems);
  if (options.max_queue_length < 1) return OutOfRange("max_queue_length", options.max_queue_length, 1, kUnbounded);
  if (options.lanes < 0 || options.lanes > kMaxLanes) return OutOfRange("lanes", options.lanes, 0, kMaxLanes);
  if (options.max_batch_requests < 1 || options.max_batch_requests > kMaxRequests) {
    return OutOfRange("max_batch_requests", options.max_batch_requests, 1, kMaxRequests);
  }
  if (options.max_batch_bytes < 1) return OutOfRange("max_batch_bytes", options.max_batch_bytes, 1, kUnbounded);
  return absl::OkStatus();
}

}  // namespace

int LaneCount(int requested, const BackendInfo& backend) {
  if (requested != 0) return requested;
  return backend.device_memory ? kDefaultDeviceLanes : kDefaultHostLanes;
}

Request::Request(std::shared_ptr<Admission> admission) : admission_(std::move(admission)) {}

Request::~Request() {
  if (phase_ != Phase::kAdmitted && phase_ != Phase::kCancelledEarly) return;
  admission_->LeaveQueue(1);
  admission_->LeaveService();
  admission_->End();
}

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Create(
    Engine& engine, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
    absl::AnyInvocable<void(const absl::Status&)> on_device_fault) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::unique_ptr<Scheduler> scheduler(new Scheduler(engine, options, metrics, clock, std::move(on_device_fault)));
  status = scheduler->StartLanes();
  if (!status.ok()) return status;
  return scheduler;
}

Scheduler::Scheduler(Engine& engine, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
                     absl::AnyInvocable<void(const absl::Status&)> on_device_fault)
    : engine_(engine),
      options_(options),
      metrics_(metrics),
      clock_(clock),
      on_device_fault_(std::move(on_device_fault)),
      admission_(std::make_shared<Admission>(options.max_queue_length, metrics)),
      queue_(std::make_unique<RequestQueue>(options.max_batch_requests, options.max_batch_bytes)) {
  metrics_.SetBytesInFlightSource([weak_arena = std::weak_ptr<HostArena>(engine.arena())] {
    const std::shared_ptr<HostArena> arena = weak_arena.lock();
    return arena == nullptr ? int64_t{0} : static_cast<int64_t>(arena->used_bytes());
  });
}

absl::Status Scheduler::StartLanes() {
  const int count = LaneCount(options_.lanes, engine_.backend().info());
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<std::unique_ptr<Lane>> lane = engine_.CreateLane();
    if (!lane.ok()) return lane.status();
    lanes_.push_back(*std::move(lane));
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) threads_.emplace_back([this, &lane] { RunLane(*lane); });
  return absl::OkStatus();
}

Scheduler::~Scheduler() {
  const absl::Status status = absl::UnavailableError("the server is shutting down");
  admission_->Close(status);
  FinishUnlaunched(queue_->Close(status), status);
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<std::shared_ptr<Request>> Scheduler::Admit(const AttentionProblem& problem, bool want_lse,
                                                          const RequestTerms& terms) {
  absl::Status status = engine_.backend().CheckSupported(problem);
  if (!status.ok()) return Reject(Rejection::kUnsupported, status);
  const absl::StatusOr<StagingLayout> layout = LayOut(problem, want_lse, options_.max_batch_bytes);
  if (!layout.ok()) return Reject(Rejection::kTooLarge, layout.status());
  if (clock_.NowNs() >= terms.deadline_ns) {
    return Reject(Rejection::kDeadline,
                  absl::DeadlineExceededError("the deadline passed before the request was admitted"));
  }
  status = admission_->Enter();
  if (!status.ok()) return Reject(ReasonOfGate(status), status);

  std::shared_ptr<Request> request(new Request(admission_));
  status = AllocateBlocks(*engine_.arena(), *layout, *request);
  if (!status.ok()) return Reject(Rejection::kMemoryFull, status);
  request->problem = problem;
  PointIntoBlocks(*layout, want_lse, *request);
  request->terms = terms;
  request->batch_bytes_ = layout->total_bytes();
  return request;
}

absl::Status Scheduler::Reject(Rejection reason, const absl::Status& status) {
  metrics_.RecordRejection(reason);
  return status;
}

void Scheduler::Submit(std::shared_ptr<Request> request) {
  request->submitted_ns_ = clock_.NowNs();
  const absl::Status status = queue_->Push(request);
  if (!status.ok()) FinishUnlaunched({std::move(request)}, status);
}

void Scheduler::Cancel(const std::shared_ptr<Request>& request) {
  if (queue_->Cancel(request)) FinishUnlaunched({request}, absl::CancelledError("cancelled while it was queued"));
}

void Scheduler::StartDrain() { admission_->Close(absl::UnavailableError("the server is draining")); }

bool Scheduler::WaitIdle(int64_t deadline_ns) { return admission_->WaitIdle(clock_, deadline_ns); }

void Scheduler::RunLane(Lane& lane) {
  while (std::optional<RequestQueue::Taken> taken = queue_->Take(clock_)) {
    for (size_t i = 0; i < taken->expired.size(); ++i) metrics_.RecordRejection(Rejection::kDeadline);
    FinishUnlaunched(std::move(taken->expired), absl::DeadlineExceededError("the deadline passed in the queue"));
    if (!taken->batch.empty()) RunBatch(lane, std::move(taken->batch), taken->taken_ns);
  }
}

void Scheduler::RunBatch(Lane& lane, Requests batch, int64_t taken_ns) {
  BatchRecord record;
  std::vector<AttentionProblem> problems;
  for (const std::shared_ptr<Request>& request : batch) {
    problems.push_back(request->problem);
    record.requests += 1;
    record.bytes += request->batch_bytes_;
    record.flops += AttentionFlops(request->problem);
  }
  admission_->LeaveQueue(record.requests);

  metrics_.AddLanesBusy(1);
  StageTimes times;
  const absl::Status status = lane.Run(problems, times);
  metrics_.AddLanesBusy(-1);
  if (!status.ok()) {
    FailForGood(status, std::move(batch));
    return;
  }
  metrics_.RecordBatch(record);
  for (std::shared_ptr<Request>& request : batch) {
    request->times = times;
    request->times[Stage::kQueue] = taken_ns - request->submitted_ns_;
    request->batch_size = record.requests;
    request->kernel = engine_.backend().info().kernel;
    Finish(std::move(request), absl::OkStatus());
  }
}

void Scheduler::FailForGood(const absl::Status& cause, Requests batch) {
  const absl::Status status = absl::InternalError(absl::StrCat("the device failed: ", cause.message()));
  const bool first_fault = admission_->Close(status);
  Requests queued = queue_->Close(status);
  for (std::shared_ptr<Request>& request : batch) Finish(std::move(request), status);
  FinishUnlaunched(std::move(queued), status);
  if (first_fault) on_device_fault_(status);
}

void Scheduler::FinishUnlaunched(Requests requests, const absl::Status& status) {
  if (requests.empty()) return;
  const int64_t now_ns = clock_.NowNs();
  admission_->LeaveQueue(static_cast<int64_t>(requests.size()));
  for (std::shared_ptr<Request>& request : requests) {
    request->times[Stage::kQueue] = now_ns - request->submitted_ns_;
    Finish(std::move(request), status);
  }
}

void Scheduler::Finish(std::shared_ptr<Request> request, const absl::Status& status) {
  request->input = HostBlock();
  absl::AnyInvocable<void(const absl::Status&)> done = std::move(request->done);
  admission_->LeaveService();
  done(status);
  // What `done` captured and the request's memory are the caller's by now; whoever waits for idleness may rely on it.
  done = nullptr;
  request.reset();
  admission_->End();
}

}  // namespace flashcore
