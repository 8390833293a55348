#include "server/scheduler/admission.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {

absl::Status Admission::Enter() {
  {
    const MutexLock lock(mutex_);
    if (!gate_.ok()) return gate_;
    if (waiting_ >= max_waiting_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the queue is full: ", max_waiting_, " requests are waiting; try again later"));
    }
    ++waiting_;
    ++unfinished_;
  }
  metrics_.AddQueueLength(1);
  metrics_.AddRequestsInFlight(1);
  return absl::OkStatus();
}

void Admission::LeaveQueue(int64_t requests) {
  metrics_.AddQueueLength(-requests);
  const MutexLock lock(mutex_);
  waiting_ -= requests;
}

void Admission::LeaveService() { metrics_.AddRequestsInFlight(-1); }

void Admission::End() {
  const MutexLock lock(mutex_);
  if (--unfinished_ == 0) idle_.NotifyAll();
}

bool Admission::Close(absl::Status reason) {
  const MutexLock lock(mutex_);
  if (absl::IsInternal(gate_)) return false;
  gate_ = std::move(reason);
  return true;
}

bool Admission::WaitIdle(const Clock& clock, int64_t deadline_ns) {
  const MutexLock lock(mutex_);
  while (unfinished_ > 0) {
    if (deadline_ns == kNoDeadlineNs) {
      idle_.Wait(mutex_);
      continue;
    }
    const int64_t left_ns = deadline_ns - clock.NowNs();
    if (left_ns <= 0) return false;
    idle_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::nanoseconds(left_ns));
  }
  return true;
}

}  // namespace flashcore
