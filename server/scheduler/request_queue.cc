#include "server/scheduler/request_queue.h"

#include <utility>

namespace flashcore {

absl::Status RequestQueue::Push(const std::shared_ptr<Request>& request) {
  const MutexLock lock(mutex_);
  const bool cancelled = request->phase_ == Request::Phase::kCancelledEarly;
  if (cancelled || !closed_.ok()) {
    request->phase_ = Request::Phase::kTaken;
    return cancelled ? absl::CancelledError("cancelled before it was queued") : closed_;
  }
  request->phase_ = Request::Phase::kQueued;
  request->position_ = waiting_.insert(waiting_.end(), request);
  changed_.NotifyOne();
  return absl::OkStatus();
}

std::optional<RequestQueue::Taken> RequestQueue::Take(const Clock& clock) {
  const MutexLock lock(mutex_);
  while (waiting_.empty() && closed_.ok()) changed_.Wait(mutex_);
  if (!closed_.ok()) return std::nullopt;
  Taken taken;
  taken.taken_ns = clock.NowNs();
  int64_t batch_bytes = 0;
  while (!waiting_.empty()) {
    std::shared_ptr<Request>& request = waiting_.front();
    const bool expired = request->terms.deadline_ns <= taken.taken_ns;
    const bool fits = static_cast<int64_t>(taken.batch.size()) < max_batch_requests_ &&
                      batch_bytes + request->batch_bytes_ <= max_batch_bytes_;
    if (!expired && !fits) break;
    if (!expired) batch_bytes += request->batch_bytes_;
    request->phase_ = Request::Phase::kTaken;
    (expired ? taken.expired : taken.batch).push_back(std::move(request));
    waiting_.pop_front();
  }
  return taken;
}

bool RequestQueue::Cancel(const std::shared_ptr<Request>& request) {
  const MutexLock lock(mutex_);
  switch (request->phase_) {
    case Request::Phase::kAdmitted:
      request->phase_ = Request::Phase::kCancelledEarly;
      return false;
    case Request::Phase::kQueued:
      request->phase_ = Request::Phase::kTaken;
      waiting_.erase(request->position_);
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
  Requests left(waiting_.begin(), waiting_.end());
  for (const std::shared_ptr<Request>& request : left) request->phase_ = Request::Phase::kTaken;
  waiting_.clear();
  changed_.NotifyAll();
  return left;
}

}  // namespace flashcore
