// The CPU backend's threads. Made for launches of a fraction of a millisecond: a worker that has just worked keeps
// looking for more for a short while before it sleeps, and a launch never waits for a worker that has not woken yet.
#ifndef FLASHCORE_KERNELS_CPU_THREAD_POOL_H_
#define FLASHCORE_KERNELS_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "kernels/base/mutex.h"

namespace flashcore::cpu {

// Thread-safe. Runs of several callers take turns.
class ThreadPool {
 public:
  // The caller of Run is one of the threads, so num_threads - 1 are started. num_threads >= 1.
  explicit ThreadPool(int num_threads);
  // No Run may be in progress.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(index) on the calling thread (index 0) and on those of the others (1 <= index < num_threads()) that
  // come in time; returns when all calls have. Each index is used by one call at most. The body has to share out the
  // work by itself, and the call on this thread must be able to finish all of it. The body must not throw or call Run.
  void Run(absl::FunctionRef<void(int)> body) ABSL_LOCKS_EXCLUDED(run_mutex_, sleep_mutex_);

 private:
  void WorkerLoop(int index) ABSL_LOCKS_EXCLUDED(sleep_mutex_);
  // Waits for a run other than `last_run`: looks for a while, then sleeps. False: the pool is being destroyed.
  bool AwaitRun(uint64_t last_run) ABSL_LOCKS_EXCLUDED(sleep_mutex_);
  // Registers for the open run, if it is still open and not `last_run`; then sets `last_run`.
  bool TryJoin(uint64_t& last_run);
  void WakeSleepers() ABSL_LOCKS_EXCLUDED(sleep_mutex_);

  // The run's number, whether workers may still join it, and how many are at work; one word, so that joining and
  // closing cannot cross.
  alignas(64) std::atomic<uint64_t> state_{0};
  std::atomic<bool> stopping_{false};
  // Written before a run opens, read after joining it.
  const absl::FunctionRef<void(int)>* body_ = nullptr;

  Mutex run_mutex_;
  Mutex sleep_mutex_ ABSL_ACQUIRED_AFTER(run_mutex_);
  CondVar wake_;
  int num_sleeping_ ABSL_GUARDED_BY(sleep_mutex_) = 0;

  std::vector<std::thread> workers_;
};

}  // namespace flashcore::cpu

#endif  // FLASHCORE_KERNELS_CPU_THREAD_POOL_H_
