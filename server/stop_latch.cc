#include "server/stop_latch.h"

#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

// A shell's exit status for a process that a signal ended, less the signal's number.
constexpr int kSignalStatusBase = 128;

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

int NextStopSignal() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

}  // namespace

void StopLatch::Stop(StopReason reason) {
  const MutexLock lock(mutex_);
  if (!reason_.has_value()) reason_ = std::move(reason);
  stopped_.NotifyAll();
}

StopReason StopLatch::Wait() {
  const MutexLock lock(mutex_);
  while (!reason_.has_value()) stopped_.Wait(mutex_);
  return *reason_;
}

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void WatchStopSignals(std::shared_ptr<StopLatch> latch) {
  std::thread([latch = std::move(latch)] {
    latch->Stop({.failed = false, .text = absl::StrCat("signal ", NextStopSignal())});
    std::_Exit(kSignalStatusBase + NextStopSignal());
  }).detach();
}

}  // namespace flashcore
