// The calls that are running, so that a drain can end open streams and wait for everything else.
#ifndef FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_
#define FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_

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
  // Unary calls are counted.
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
  void Decrement() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  CondVar idle_;
  int64_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_set<DrainableCall*> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CALL_REGISTRY_H_
