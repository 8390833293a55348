// The calls that are running, so that a drain can end open streams and wait for everything else.
#ifndef FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_
#define FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <unordered_set>

#include "absl/time/time.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// A call that would not end by itself.
class DrainableCall {
 public:
  virtual ~DrainableCall() = default;
  // Called at most once, under the registry's lock: must not block, nor call the registry.
  virtual void Drain() = 0;
};

// Thread-safe.
class CallRegistry {
 public:
  // Unary calls are counted. Leave takes the lock only if it leaves no call behind, so it may run below a Drain, whose
  // stream is still there.
  void Enter();
  void Leave();

  // Streams are counted and told to drain; one that comes while draining is told at once. Remove returns only when no
  // Drain of that call is running.
  void Add(DrainableCall* call);
  void Remove(DrainableCall* call);

  void StartDrain();

  // Blocks until no call is left, for `timeout` at most. True if none is left.
  bool WaitIdle(absl::Duration timeout);

 private:
  // Of calls that run. Changed without the lock, which a waiter needs only to be told of 0.
  std::atomic<int64_t> running_ = 0;
  Mutex mutex_;
  CondVar idle_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_set<DrainableCall*> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_
