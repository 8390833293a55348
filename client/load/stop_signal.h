// Ctrl-C ends a run early, with its results. A second one ends the program.
#ifndef FLASHCORE_CLIENT_LOAD_STOP_SIGNAL_H_
#define FLASHCORE_CLIENT_LOAD_STOP_SIGNAL_H_

#include <functional>
#include <stop_token>
#include <thread>

#include "kernels/base/mutex.h"

namespace flashcore {

// Blocks SIGINT and SIGTERM in the thread that makes it and in all that are started afterwards, and waits for them on a
// thread of its own: make it before any other thread.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The next signal calls `stop`, once. A signal that finds nothing to call exits with 130. nullptr takes it back; then
  // no call is under way any more.
  void SetHandler(std::function<void()> stop);

 private:
  void Wait(const std::stop_token& ending);
  void Handle();

  Mutex mutex_;
  std::function<void()> stop_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_STOP_SIGNAL_H_
