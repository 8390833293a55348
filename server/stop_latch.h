// Why the server stops: the first reason given wins, and main waits for it.
#ifndef FLASHCORE_SERVER_STOP_LATCH_H_
#define FLASHCORE_SERVER_STOP_LATCH_H_

#include <memory>
#include <optional>
#include <string>

#include "kernels/base/mutex.h"

namespace flashcore {

struct StopReason {
  // Whether only a new process can help, as opposed to somebody having asked.
  bool failed = false;
  std::string text;
};

// Thread-safe.
class StopLatch {
 public:
  void Stop(StopReason reason);
  // Blocks until the first Stop.
  StopReason Wait();

 private:
  Mutex mutex_;
  CondVar stopped_;
  std::optional<StopReason> reason_ ABSL_GUARDED_BY(mutex_);
};

// Blocks SIGTERM and SIGINT in this thread and all that it starts: call it before any other thread exists. Ignores
// SIGPIPE, as broken connections are reported where they are used.
void BlockStopSignals();

// Starts a thread that turns the first SIGTERM or SIGINT into a Stop and at the second ends the process at once, with
// the status a shell gives for that signal. The thread lives as long as the process.
void WatchStopSignals(std::shared_ptr<StopLatch> latch);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_STOP_LATCH_H_
