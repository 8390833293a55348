#include "server/scheduler/request_queue.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <thread>
#include <utility>

namespace flashcore {

void BatchSize::Add(const BatchSize& other) {
  requests += other.requests;
  bytes += other.bytes;
  flops += other.flops;
}

void BatchSize::Subtract(const BatchSize& other) {
  requests -= other.requests;
  bytes -= other.bytes;
  // Sums of doubles leave a rest.
  flops = requests == 0 ? 0 : flops - other.flops;
}

bool BatchSize::Fills(const BatchSize& budget) const {
  return requests >= budget.requests || bytes >= budget.bytes || flops >= budget.flops;
}

bool BatchSize::HasRoomFor(const BatchSize& other, const BatchSize& budget) const {
  if (requests == 0) return true;
  return requests + other.requests <= budget.requests && bytes + other.bytes <= budget.bytes &&
         flops + other.flops <= budget.flops;
}

double BatchSize::ShareOf(const BatchSize& budget) const {
  return std::max({static_cast<double>(requests) / static_cast<double>(budget.requests),
                   static_cast<double>(bytes) / static_cast<double>(budget.bytes), flops / budget.flops});
}

void RequestQueue::Taken::Clear() {
  batch.clear();
  size = {};
  expired.clear();
  taken_ns = 0;
}

BatchSize RequestQueue::SizeOf(const Request& request) {
  return {.requests = 1, .bytes = request.batch_bytes_, .flops = request.flops_};
}

absl::Status RequestQueue::Refusal(const Request& request) const {
  if (request.phase_ == Request::Phase::kCancelledEarly) return absl::CancelledError("cancelled before it was queued");
  if (!closed_.ok()) return closed_;
  if (request.terms().deadline_ns <= request.submitted_ns_) {
    return absl::DeadlineExceededError("the deadline passed while the request was staged");
  }
  return absl::OkStatus();
}

absl::Status RequestQueue::Push(const std::shared_ptr<Request>& request) {
  WakeUp wake_lane;
  bool wake_gatherer = false;
  {
    const MutexLock lock(mutex_);
    if (absl::Status refusal = Refusal(*request); !refusal.ok()) {
      request->phase_ = Request::Phase::kTaken;
      return refusal;
    }
    const BatchSize size = SizeOf(*request);
    request->phase_ = Request::Phase::kQueued;
    request->self_ = request;
    request->ticket_.cost = size.ShareOf(budget_);
    order_.Insert(request->ticket_);
    waiting_.Add(size);
    wake_gatherer = gathering_;
    if (!gathering_) wake_lane = CallLane();
  }
  if (wake_gatherer) gathered_.NotifyOne();
  wake_lane();
  return absl::OkStatus();
}

std::shared_ptr<Request> RequestQueue::TakeOut(Request& request) {
  request.phase_ = Request::Phase::kTaken;
  waiting_.Subtract(SizeOf(request));
  return std::move(request.self_);
}

void RequestQueue::WakeUp::operator()() const {
  if (device == nullptr) return;
  if (polls) {
    device->posts.fetch_add(1, std::memory_order_release);
  } else {
    device->called.NotifyOne();
  }
}

RequestQueue::WakeUp RequestQueue::CallLane() {
  const auto idlest = std::max_element(devices_.begin(), devices_.end(),
                                       [](const Device& a, const Device& b) { return a.idle < b.idle; });
  return idlest->idle == 0 ? WakeUp() : idlest->Call();
}

RequestQueue::WakeUp RequestQueue::Device::Call() {
  --idle;
  ++calls;
  const bool polls = std::exchange(polled_post, 0) != 0;
  if (polls) ++posts_due;
  return {.device = this, .polls = polls};
}

void RequestQueue::WaitForCall(Device& device) {
  ++device.idle;
  meter_.LaneIdled();
  if (lane_poll_ns_ > 0 && device.polled_post == 0) Poll(device);
  while (device.calls == 0 && closed_.ok()) device.called.Wait(mutex_);
  if (device.calls > 0) --device.calls;
}

void RequestQueue::Poll(Device& device) {
  const uint64_t post = device.posts_due + 1;
  device.polled_post = post;
  mutex_.Unlock();
  const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(lane_poll_ns_);
  while (device.posts.load(std::memory_order_acquire) < post && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  mutex_.Lock();
  // Otherwise this lane has been called, and another may poll by now.
  if (device.polled_post == post) device.polled_post = 0;
}

bool RequestQueue::Take(size_t device, Taken& taken) {
  WakeUp wake_another;
  {
    const MutexLock lock(mutex_);
    NoteFinished(taken);
    taken.Clear();
    while (true) {
      if (!closed_.ok()) return false;
      if (order_.empty() || gathering_) {
        WaitForCall(devices_[device]);
        continue;
      }
      taken.taken_ns = clock_.NowNs();
      TakeExpired(taken.taken_ns, taken);
      if (!order_.empty() && LaunchTimeNs() <= taken.taken_ns) {
        FillBatch(taken);
        break;
      }
      if (!taken.expired.empty()) break;
      Gather(LaunchTimeNs());
    }
    if (!order_.empty()) wake_another = CallLane();
  }
  wake_another();
  return true;
}

void RequestQueue::TakeExpired(int64_t now_ns, Taken& taken) {
  for (Ticket* first = order_.EarliestDeadline(); first != nullptr && first->terms.deadline_ns <= now_ns;
       first = order_.EarliestDeadline()) {
    order_.Remove(*first);
    taken.expired.push_back(TakeOut(*first->request));
  }
}

int64_t RequestQueue::LaunchTimeNs() const {
  if (max_delay_ns_ == 0 || waiting_.Fills(budget_)) return std::numeric_limits<int64_t>::min();
  const int64_t launch_ns = order_.Oldest().request->submitted_ns_ + max_delay_ns_;
  const Ticket* const urgent = order_.EarliestDeadline();
  const bool in_time = urgent == nullptr || urgent->terms.deadline_ns > launch_ns;
  return in_time ? launch_ns : std::numeric_limits<int64_t>::min();
}

void RequestQueue::Gather(int64_t until_ns) {
  gathering_ = true;
  const int64_t left_ns = until_ns - clock_.NowNs();
  gathered_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::nanoseconds(left_ns));
  gathering_ = false;
}

void RequestQueue::NoteFinished(const Taken& taken) {
  if (taken.size.requests == 0) return;
  meter_.Finished(taken.size.requests, taken.taken_ns, clock_.NowNs(), /*all_lanes_busy=*/IdleLanes() == 0);
  time_per_request_ns_.store(meter_.TimePerRequestNs(), std::memory_order_relaxed);
}

void RequestQueue::FillBatch(Taken& taken) {
  while (!order_.empty()) {
    Ticket& next = order_.Next();
    const BatchSize size = SizeOf(*next.request);
    if (!taken.size.HasRoomFor(size, budget_)) break;
    order_.Take(next);
    taken.size.Add(size);
    taken.batch.push_back(TakeOut(*next.request));
  }
}

bool RequestQueue::Cancel(const std::shared_ptr<Request>& request) {
  // Lets go of the queue's hold outside of the lock.
  std::shared_ptr<Request> taken_out;
  const MutexLock lock(mutex_);
  switch (request->phase_) {
    case Request::Phase::kAdmitted:
      request->phase_ = Request::Phase::kCancelledEarly;
      return false;
    case Request::Phase::kQueued:
      order_.Remove(request->ticket_);
      taken_out = TakeOut(*request);
      return true;
    case Request::Phase::kCancelledEarly:
    case Request::Phase::kTaken:
      return false;
  }
  return false;
}

RequestQueue::Requests RequestQueue::Close(absl::Status reason) {
  const MutexLock lock(mutex_);
  if (!closed_.ok()) return {};
  closed_ = std::move(reason);
  Requests left;
  while (!order_.empty()) {
    Ticket& oldest = order_.Oldest();
    order_.Remove(oldest);
    left.push_back(TakeOut(*oldest.request));
  }
  for (Device& device : devices_) {
    if (device.polled_post != 0) {
      const WakeUp end_polling = device.Call();
      end_polling();
    }
    device.called.NotifyAll();
  }
  gathered_.NotifyAll();
  return left;
}

int RequestQueue::idle_lanes() {
  const MutexLock lock(mutex_);
  return IdleLanes();
}

int RequestQueue::IdleLanes() const {
  return std::accumulate(devices_.begin(), devices_.end(), 0,
                         [](int sum, const Device& device) { return sum + device.idle; });
}

int64_t RequestQueue::RetryAfterMs() {
  const MutexLock lock(mutex_);
  return meter_.RetryAfterMs(waiting_.requests);
}

}  // namespace flashcore
