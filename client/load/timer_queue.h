// Does things later, on one thread of its own: cancels a call, reads a stream's next answer.
#ifndef FLASHCORE_CLIENT_LOAD_TIMER_QUEUE_H_
#define FLASHCORE_CLIENT_LOAD_TIMER_QUEUE_H_

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// Thread-safe.
class TimerQueue {
 public:
  TimerQueue();
  // Drops what is not due yet, and joins.
  ~TimerQueue();
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Runs `action` once, `delay` from now or a little later. It must not block.
  void After(absl::Duration delay, absl::AnyInvocable<void()> action);

 private:
  using Clock = std::chrono::steady_clock;
  struct Timer {
    Clock::time_point due;
    absl::AnyInvocable<void()> action;
  };

  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::vector<Timer> timers_ ABSL_GUARDED_BY(mutex_);  // A heap, the one due first in front.
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_TIMER_QUEUE_H_
