#include "server/telemetry/periodic_task.h"

#include <algorithm>
#include <utility>

namespace flashcore {

PeriodicTask::PeriodicTask(std::chrono::nanoseconds period, std::function<void()> work)
    : period_(period), work_(std::move(work)), thread_([this] { Run(); }) {}

PeriodicTask::~PeriodicTask() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  stop_changed_.NotifyAll();
  thread_.join();
}

void PeriodicTask::Run() {
  auto next = std::chrono::steady_clock::now();
  do {
    work_();
    next = std::max(next + period_, std::chrono::steady_clock::now());
  } while (WaitUntil(next));
}

bool PeriodicTask::WaitUntil(std::chrono::steady_clock::time_point next) {
  const MutexLock lock(mutex_);
  while (!stop_ && stop_changed_.WaitUntil(mutex_, next)) {
  }
  return !stop_;
}

}  // namespace flashcore
