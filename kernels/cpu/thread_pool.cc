#include "kernels/cpu/thread_pool.h"

#include <chrono>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace flashcore::cpu {
namespace {

// ThreadPool::state_: the run's number above, then the open bit, then the count of workers that have joined.
constexpr uint64_t kActiveMask = 0xffff;
constexpr uint64_t kOpenBit = kActiveMask + 1;
constexpr int kRunShift = 17;

bool IsOpen(uint64_t state) { return (state & kOpenBit) != 0; }
uint64_t RunNumber(uint64_t state) { return state >> kRunShift; }
uint64_t Active(uint64_t state) { return state & kActiveMask; }

// Long enough to bridge the gap between back-to-back launches, short against what a sleeping server saves.
constexpr std::chrono::microseconds kSpinTime{100};
constexpr int kPausesPerLook = 16;
// A woken worker wakes this many others, so the caller does not pay for all.
constexpr int kWakeFanOut = 2;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks until done() or the time is over; gives way to other runnable threads in between. Returns done().
template <typename Done>
bool SpinUntil(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (done()) return true;
      Pause();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int index = 1; index < num_threads; ++index) {
    workers_.emplace_back([this, index] { WorkerLoop(index); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(sleep_mutex_);
    stopping_.store(true, std::memory_order_relaxed);
  }
  wake_.NotifyAll();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(absl::FunctionRef<void(int)> body) {
  const MutexLock lock(run_mutex_);
  if (workers_.empty()) {
    body(0);
    return;
  }
  body_ = &body;
  const uint64_t next_run = RunNumber(state_.load(std::memory_order_relaxed)) + 1;
  state_.store((next_run << kRunShift) | kOpenBit, std::memory_order_release);
  WakeSleepers();
  body(0);
  uint64_t state = state_.fetch_and(~kOpenBit, std::memory_order_acq_rel);
  while (Active(state) != 0) {
    SpinUntil([&] { return Active(state = state_.load(std::memory_order_acquire)) == 0; });
  }
}

void ThreadPool::WorkerLoop(int index) {
  uint64_t last_run = 0;
  while (AwaitRun(last_run)) {
    if (!TryJoin(last_run)) continue;
    (*body_)(index);
    state_.fetch_sub(1, std::memory_order_release);
  }
}

bool ThreadPool::TryJoin(uint64_t& last_run) {
  uint64_t state = state_.load(std::memory_order_relaxed);
  while (IsOpen(state) && RunNumber(state) != last_run) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      last_run = RunNumber(state);
      return true;
    }
  }
  return false;
}

bool ThreadPool::AwaitRun(uint64_t last_run) {
  const auto joinable = [&] {
    const uint64_t state = state_.load(std::memory_order_relaxed);
    return IsOpen(state) && RunNumber(state) != last_run;
  };
  const auto stopping = [&] { return stopping_.load(std::memory_order_relaxed); };
  if (SpinUntil([&] { return joinable() || stopping(); })) return !stopping();
  {
    const MutexLock lock(sleep_mutex_);
    ++num_sleeping_;
    while (!joinable() && !stopping()) wake_.Wait(sleep_mutex_);
    --num_sleeping_;
  }
  if (stopping()) return false;
  WakeSleepers();
  return true;
}

void ThreadPool::WakeSleepers() {
  // Taking the lock orders this after a worker's last look: it is either counted, or it will see the run.
  int sleeping = 0;
  {
    const MutexLock lock(sleep_mutex_);
    sleeping = num_sleeping_;
  }
  for (int i = 0; i < kWakeFanOut && i < sleeping; ++i) wake_.NotifyOne();
}

}  // namespace flashcore::cpu
