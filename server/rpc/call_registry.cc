#include "server/rpc/call_registry.h"

#include <chrono>

namespace flashcore {

void CallRegistry::Enter() { running_.fetch_add(1, std::memory_order_relaxed); }

void CallRegistry::Leave() {
  if (running_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  // With the lock, so that a waiter is either before its look at the count or asleep.
  const MutexLock lock(mutex_);
  idle_.NotifyAll();
}

void CallRegistry::Add(DrainableCall* call) {
  Enter();
  const MutexLock lock(mutex_);
  streams_.insert(call);
  if (draining_) call->Drain();
}

void CallRegistry::Remove(DrainableCall* call) {
  {
    const MutexLock lock(mutex_);
    streams_.erase(call);
  }
  Leave();
}

void CallRegistry::StartDrain() {
  const MutexLock lock(mutex_);
  draining_ = true;
  for (DrainableCall* call : streams_) call->Drain();
}

bool CallRegistry::WaitIdle(absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  const MutexLock lock(mutex_);
  while (running_.load(std::memory_order_acquire) > 0) {
    if (!idle_.WaitUntil(mutex_, deadline)) return running_.load(std::memory_order_acquire) == 0;
  }
  return true;
}

}  // namespace flashcore
