#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/fair_limit.h"
#include "server/scheduler/recycling_allocator.h"
#include "server/scheduler/retry_hint.h"
#include "server/scheduler/staging_layout.h"

namespace flashcore {
namespace {

constexpr int kDefaultDeviceLanes = 3;
constexpr int kDefaultHostLanes = 1;

// An L4 computes some 60 TFLOP/s, a server's CPU some hundred GFLOP/s.
constexpr double kDefaultDeviceBatchFlops = 1e12;
constexpr double kDefaultHostBatchFlops = 2e10;

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
  if (!(options.max_batch_flops >= 0)) return absl::InvalidArgumentError("max_batch_flops must be >= 0");
  if (options.max_queue_delay_ns < 0 || options.max_queue_delay_ns > kMaxQueueDelayNs) {
    return OutOfRange("max_queue_delay_ns", options.max_queue_delay_ns, 0, kMaxQueueDelayNs);
  }
  if (options.max_backlog_ns < 0) return OutOfRange("max_backlog_ns", options.max_backlog_ns, 0, kUnbounded);
  if (options.lane_poll_ns < 0 || options.lane_poll_ns > kMaxLanePollNs) {
    return OutOfRange("lane_poll_ns", options.lane_poll_ns, 0, kMaxLanePollNs);
  }
  return absl::OkStatus();
}

BatchSize BudgetOf(const SchedulerOptions& options, const BackendInfo& backend) {
  return {.requests = options.max_batch_requests,
          .bytes = options.max_batch_bytes,
          .flops = BatchFlops(options.max_batch_flops, backend)};
}

BacklogLimit BacklogOf(const SchedulerOptions& options, absl::Span<Engine* const> engines) {
  const int lanes = LaneCount(options.lanes, engines.front()->backend().info());
  return {options.max_backlog_ns, lanes * static_cast<int64_t>(engines.size())};
}

int64_t LanePollNs(const SchedulerOptions& options, const BackendInfo& backend) {
  return backend.device_memory ? options.lane_poll_ns : 0;
}

// Has the metrics ask what the engines' backends launched.
void ReportLaunches(absl::Span<Engine* const> engines, Metrics& metrics) {
  std::vector<std::shared_ptr<const LaunchCounts>> counts;
  for (const Engine* engine : engines) counts.push_back(engine->backend().launch_counts());
  metrics.SetKernelLaunchesSource([counts = std::move(counts)] {
    std::vector<KernelLaunches> launches;
    for (size_t device = 0; device < counts.size(); ++device) {
      if (counts[device] == nullptr) continue;
      for (size_t kernel = 0; kernel < counts[device]->kernels().size(); ++kernel) {
        launches.push_back({.device = device,
                            .kernel = counts[device]->kernels()[kernel],
                            .launches = counts[device]->launches(kernel)});
      }
    }
    return launches;
  });
}

}  // namespace

int LaneCount(int requested, const BackendInfo& backend) {
  if (requested != 0) return requested;
  return backend.device_memory ? kDefaultDeviceLanes : kDefaultHostLanes;
}

double BatchFlops(double requested, const BackendInfo& backend) {
  if (requested != 0) return requested;
  return backend.device_memory ? kDefaultDeviceBatchFlops : kDefaultHostBatchFlops;
}

Request::Request(Key /*key*/, std::shared_ptr<Admission> admission, std::shared_ptr<ConnectionShare> share,
                 const RequestTerms& terms)
    : admission_(std::move(admission)), share_(std::move(share)) {
  ticket_.request = this;
  ticket_.terms = terms;
}

Request::~Request() {
  if (phase_ != Phase::kAdmitted && phase_ != Phase::kCancelledEarly) return;
  admission_->LeaveQueue(terms(), *share_);
  admission_->LeaveService();
  admission_->End();
}

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Create(
    absl::Span<Engine* const> engines, const SchedulerOptions& options, Metrics& metrics, const Clock& clock,
    absl::AnyInvocable<void(const absl::Status&)> on_device_fault) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::unique_ptr<Scheduler> scheduler(new Scheduler(engines, options, metrics, clock, std::move(on_device_fault)));
  status = scheduler->StartLanes();
  if (!status.ok()) return status;
  return scheduler;
}

Scheduler::Scheduler(absl::Span<Engine* const> engines, const SchedulerOptions& options, Metrics& metrics,
                     const Clock& clock, absl::AnyInvocable<void(const absl::Status&)> on_device_fault)
    : engines_(engines.begin(), engines.end()),
      arena_(*engines.front()->arena()),
      options_(options),
      metrics_(metrics),
      clock_(clock),
      on_device_fault_(std::move(on_device_fault)),
      admission_(std::make_shared<Admission>(options.max_queue_length, BacklogOf(options, engines), metrics)),
      request_memory_(std::make_shared<RecycledBlocks>()),
      queue_(BudgetOf(options, engines.front()->backend().info()), options.max_queue_delay_ns,
             LanePollNs(options, engines.front()->backend().info()), engines.size(), clock) {
  metrics_.SetBytesInFlightSource([weak_arena = std::weak_ptr<HostArena>(engines.front()->arena())] {
    const std::shared_ptr<HostArena> arena = weak_arena.lock();
    return arena == nullptr ? int64_t{0} : static_cast<int64_t>(arena->used_bytes());
  });
  ReportLaunches(engines, metrics_);
}

absl::Status Scheduler::StartLanes() {
  std::vector<size_t> device_of_lane;
  for (size_t device = 0; device < engines_.size(); ++device) {
    const int count = LaneCount(options_.lanes, engines_[device]->backend().info());
    for (int i = 0; i < count; ++i) {
      absl::StatusOr<std::unique_ptr<Lane>> lane = engines_[device]->CreateLane();
      if (!lane.ok()) return lane.status();
      lanes_.push_back(*std::move(lane));
      device_of_lane.push_back(device);
    }
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    threads_.emplace_back([this, device = device_of_lane[i], &lane = *lanes_[i]] { RunLane(device, lane); });
  }
  return absl::OkStatus();
}

Scheduler::~Scheduler() {
  const absl::Status status = absl::UnavailableError("the server is shutting down");
  admission_->Close(status);
  Requests left = queue_.Close(status);
  FinishUnlaunched(left, status);
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<std::shared_ptr<Request>> Scheduler::Admit(const AttentionProblem& problem, bool want_lse,
                                                          const RequestTerms& terms) {
  absl::Status status = CheckSupported(problem);
  if (!status.ok()) return Reject(Rejection::kUnsupported, status);
  const absl::StatusOr<StagingLayout> layout = LayOut(problem, want_lse, options_.max_batch_bytes);
  if (!layout.ok()) return Reject(Rejection::kTooLarge, layout.status());
  const int64_t now_ns = clock_.NowNs();
  if (now_ns >= terms.deadline_ns) {
    return Reject(Rejection::kDeadline,
                  absl::DeadlineExceededError("the deadline passed before the request was admitted"));
  }
  Admission::Entry entry = admission_->Enter(terms, queue_.TimePerRequestNs(), now_ns);
  if (!entry.status.ok()) return Reject(entry.rejection, entry.status);
  std::shared_ptr<Request> request = std::allocate_shared<Request>(
      RecyclingAllocator<Request>(request_memory_), Request::Key(), admission_, std::move(entry.share), terms);
  request->problem = problem;
  status = Stage(*layout, want_lse, *request);
  if (!status.ok()) return status;
  return request;
}

absl::Status Scheduler::CheckSupported(const AttentionProblem& problem) const {
  // Whichever device takes it must be able to.
  for (const Engine* engine : engines_) {
    absl::Status status = engine->backend().CheckSupported(problem);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Stage(const StagingLayout& layout, bool want_lse, Request& request) {
  const Claim claim = {.capacity = static_cast<int64_t>(arena_.capacity_bytes()),
                       .taken = static_cast<int64_t>(arena_.used_bytes()),
                       .held = static_cast<int64_t>(request.share_->used_bytes()),
                       .wanted = layout.total_bytes(),
                       .priority = request.terms().priority};
  if (const Verdict verdict = Judge(claim); verdict != Verdict::kFree) {
    const bool full = verdict == Verdict::kFull;
    return Reject(full ? Rejection::kMemoryFull : Rejection::kConnectionShare,
                  absl::ResourceExhaustedError(absl::StrCat(
                      full ? "the staging memory is full: " : "this connection holds its share of the staging memory: ",
                      claim.wanted, " bytes were asked for, ", claim.taken, " of ", claim.capacity, " are taken, ",
                      claim.held, " of them by this connection; try again later")));
  }
  absl::Status status = AllocateBlocks(arena_, layout, request.share_, request.input, request.output);
  if (!status.ok()) return Reject(Rejection::kMemoryFull, status);
  PointIntoBlocks(layout, want_lse, request.input, request.output, request.problem);
  request.batch_bytes_ = layout.total_bytes();
  request.flops_ = AttentionFlops(request.problem);
  return absl::OkStatus();
}

absl::Status Scheduler::Reject(Rejection reason, const absl::Status& status) {
  metrics_.RecordRejection(reason);
  // What is too large always will be.
  const bool retry = absl::IsResourceExhausted(status) && reason != Rejection::kTooLarge;
  return retry ? WithRetryAfter(status, queue_.RetryAfterMs()) : status;
}

void Scheduler::Submit(std::shared_ptr<Request> request) {
  request->submitted_ns_ = clock_.NowNs();
  const absl::Status status = queue_.Push(request);
  if (absl::IsDeadlineExceeded(status)) metrics_.RecordRejection(Rejection::kDeadline);
  if (!status.ok()) FinishUnlaunched(std::move(request), status);
}

void Scheduler::Cancel(const std::shared_ptr<Request>& request) {
  if (queue_.Cancel(request)) FinishUnlaunched(request, absl::CancelledError("cancelled while it was queued"));
}

void Scheduler::StartDrain() { admission_->Close(absl::UnavailableError("the server is draining")); }

bool Scheduler::WaitIdle(int64_t deadline_ns) { return admission_->WaitIdle(clock_, deadline_ns); }

void Scheduler::RunLane(size_t device, Lane& lane) {
  // Kept from batch to batch, so that a busy lane takes nothing from the heap.
  RequestQueue::Taken taken;
  std::vector<AttentionProblem> problems;
  while (queue_.Take(device, taken)) {
    if (!taken.expired.empty()) FinishExpired(taken.expired);
    if (!taken.batch.empty()) RunBatch(device, lane, taken, problems);
  }
}

void Scheduler::RunBatch(size_t device, Lane& lane, RequestQueue::Taken& taken,
                         std::vector<AttentionProblem>& problems) {
  problems.clear();
  for (const std::shared_ptr<Request>& request : taken.batch) {
    problems.push_back(request->problem);
    admission_->LeaveQueue(request->terms(), *request->share_);
  }

  metrics_.AddLanesBusy(1);
  StageTimes times;
  const int64_t started_ns = clock_.NowNs();
  const absl::Status status = lane.Run(problems, times);
  const int64_t ended_ns = clock_.NowNs();
  metrics_.AddLanesBusy(-1);
  if (!status.ok()) {
    FailForGood(status, taken.batch);
    return;
  }
  // The lane's stages are the device's own times; what the host took to hand the batch over and to notice its end comes
  // after them.
  const int64_t device_ns = times[Stage::kUpload] + times[Stage::kCompute] + times[Stage::kDownload];
  const int64_t computed_ns = std::min(started_ns + device_ns, ended_ns);
  metrics_.RecordBatch(
      {.device = device, .requests = taken.size.requests, .bytes = taken.size.bytes, .flops = taken.size.flops});
  admission_->NoteComputed(ended_ns);
  for (std::shared_ptr<Request>& request : taken.batch) {
    request->times = times;
    request->times[Stage::kQueue] = started_ns - request->submitted_ns_;
    request->computed_ns = computed_ns;
    request->batch_size = taken.size.requests;
    request->kernel = engines_[device]->backend().info().kernel;
    Finish(std::move(request), absl::OkStatus());
  }
}

void Scheduler::FailForGood(const absl::Status& cause, Requests& batch) {
  const absl::Status status = absl::InternalError(absl::StrCat("the device failed: ", cause.message()));
  const bool first_fault = admission_->Close(status);
  Requests queued = queue_.Close(status);
  for (std::shared_ptr<Request>& request : batch) Finish(std::move(request), status);
  FinishUnlaunched(queued, status);
  if (first_fault) on_device_fault_(status);
}

void Scheduler::FinishExpired(Requests& expired) {
  for (size_t i = 0; i < expired.size(); ++i) metrics_.RecordRejection(Rejection::kDeadline);
  FinishUnlaunched(expired, absl::DeadlineExceededError("the deadline passed in the queue"));
}

void Scheduler::FinishUnlaunched(Requests& requests, const absl::Status& status) {
  for (std::shared_ptr<Request>& request : requests) FinishUnlaunched(std::move(request), status);
}

void Scheduler::FinishUnlaunched(std::shared_ptr<Request> request, const absl::Status& status) {
  admission_->LeaveQueue(request->terms(), *request->share_);
  request->times[Stage::kQueue] = clock_.NowNs() - request->submitted_ns_;
  Finish(std::move(request), status);
}

void Scheduler::Finish(std::shared_ptr<Request> request, const absl::Status& status) {
  request->input = HostBlock();
  if (!status.ok()) request->output = HostBlock();
  absl::AnyInvocable<void(const absl::Status&)> done = std::move(request->done);
  admission_->LeaveService();
  done(status);
  // What `done` captured and the request's memory are the caller's by now; whoever waits for idleness may rely on it.
  done = nullptr;
  request.reset();
  admission_->End();
}

}  // namespace flashcore
