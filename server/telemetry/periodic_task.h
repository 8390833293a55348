// A function called over and over on a thread of its own.
#ifndef FLASHCORE_SERVER_TELEMETRY_PERIODIC_TASK_H_
#define FLASHCORE_SERVER_TELEMETRY_PERIODIC_TASK_H_

#include <chrono>
#include <functional>
#include <thread>

#include "kernels/base/mutex.h"

namespace flashcore {

// Runs from construction to destruction, which waits for a call in progress.
class PeriodicTask {
 public:
  // Calls `work` at once, and then `period` after the start of the call before; a call that takes longer delays the
  // next one, never piles them up.
  PeriodicTask(std::chrono::nanoseconds period, std::function<void()> work);
  ~PeriodicTask();
  PeriodicTask(const PeriodicTask&) = delete;
  PeriodicTask& operator=(const PeriodicTask&) = delete;

 private:
  void Run();
  // False once the task is to end.
  bool WaitUntil(std::chrono::steady_clock::time_point next);

  const std::chrono::nanoseconds period_;
  const std::function<void()> work_;
  Mutex mutex_;
  CondVar stop_changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last, as it uses the others.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_PERIODIC_TASK_H_
