#include "server/rpc/call_registry.h"

#include <chrono>

namespace flashcore {

void CallRegistry::Enter() {
  const MutexLock lock(mutex_);
  ++running_;
}

void CallRegistry::Leave() {
  const MutexLock lock(mutex_);
  Decrement();
}

void CallRegistry::Add(DrainableCall* call) {
  const MutexLock lock(mutex_);
  ++running_;
  streams_.insert(call);
  if (draining_) call->Drain();
}

void CallRegistry::Remove(DrainableCall* call) {
  const MutexLock lock(mutex_);
  streams_.erase(call);
  Decrement();
}

void CallRegistry::Decrement() {
  if (--running_ == 0) idle_.NotifyAll();
}

void CallRegistry::StartDrain() {
  const MutexLock lock(mutex_);
  draining_ = true;
  for (DrainableCall* call : streams_) call->Drain();
}

bool CallRegistry::WaitIdle(absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  const MutexLock lock(mutex_);
  while (running_ > 0) {
    if (!idle_.WaitUntil(mutex_, deadline)) return running_ == 0;
  }
  return true;
}

}  // namespace flashcore
