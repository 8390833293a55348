#include "client/load/stop_signal.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <utility>

namespace flashcore {
namespace {

constexpr int kExitInterrupted = 130;
// How long the end of the program may have to wait for the thread.
constexpr timespec kPoll = {.tv_sec = 0, .tv_nsec = 50'000'000};

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

StopSignal::StopSignal() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::jthread([this](const std::stop_token& ending) { Wait(ending); });
}

void StopSignal::SetHandler(std::function<void()> stop) {
  const MutexLock lock(mutex_);
  stop_ = std::move(stop);
}

void StopSignal::Wait(const std::stop_token& ending) {
  const sigset_t signals = StopSignals();
  while (!ending.stop_requested()) {
    if (sigtimedwait(&signals, nullptr, &kPoll) > 0) Handle();
  }
}

void StopSignal::Handle() {
  const MutexLock lock(mutex_);
  if (!stop_) _exit(kExitInterrupted);
  std::exchange(stop_, nullptr)();
}

}  // namespace flashcore
