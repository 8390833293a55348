#include "client/load/timer_queue.h"

#include <algorithm>
#include <utility>

namespace flashcore {
namespace {

constexpr auto kDueLater = [](const auto& a, const auto& b) { return a.due > b.due; };

}  // namespace

TimerQueue::TimerQueue() : thread_([this] { Run(); }) {}

TimerQueue::~TimerQueue() {
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void TimerQueue::After(absl::Duration delay, absl::AnyInvocable<void()> action) {
  const Clock::time_point due = Clock::now() + absl::ToChronoNanoseconds(delay);
  const MutexLock lock(mutex_);
  timers_.push_back({.due = due, .action = std::move(action)});
  std::push_heap(timers_.begin(), timers_.end(), kDueLater);
  changed_.NotifyAll();
}

void TimerQueue::Run() {
  for (;;) {
    Timer timer;
    {
      const MutexLock lock(mutex_);
      while (!closing_ && (timers_.empty() || timers_.front().due > Clock::now())) {
        if (timers_.empty()) {
          changed_.Wait(mutex_);
        } else {
          // A copy: the timers may move while this waits.
          const Clock::time_point due = timers_.front().due;
          changed_.WaitUntil(mutex_, due);
        }
      }
      if (closing_) return;
      std::pop_heap(timers_.begin(), timers_.end(), kDueLater);
      timer = std::move(timers_.back());
      timers_.pop_back();
    }
    timer.action();
  }
}

}  // namespace flashcore
