// Counts what is alive, so that its owner can wait until nothing is. Internal to the transports.
//
// gRPC's callback threads belong to the channels that use them, and a call's context holds its channel: a transport
// must not give up its channels while a context lives, or a callback thread may end up ending itself.
#ifndef FLASHCORE_CLIENT_LOAD_CALL_GAUGE_H_
#define FLASHCORE_CLIENT_LOAD_CALL_GAUGE_H_

#include <cstdint>

#include "kernels/base/mutex.h"

namespace flashcore {

// Thread-safe.
class CallGauge {
 public:
  void Up() {
    const MutexLock lock(mutex_);
    ++count_;
  }

  void Down() {
    const MutexLock lock(mutex_);
    if (--count_ == 0) zero_.NotifyAll();
  }

  void WaitUntilZero() {
    const MutexLock lock(mutex_);
    while (count_ > 0) zero_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar zero_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CALL_GAUGE_H_
