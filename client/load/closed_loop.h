// A closed loop: `concurrency` slots, each of which makes its next call when the last one has ended.
//
// A slot whose call failed pauses, from 10 ms up to a second as failures go on, or for as long as the server asks: a
// loop that spins on errors measures nothing and helps nobody. When more answers wait for their check than may, a slot
// waits for its own: so every sampled answer is checked, latencies stay true, and the rate does not.
#ifndef FLASHCORE_CLIENT_LOAD_CLOSED_LOOP_H_
#define FLASHCORE_CLIENT_LOAD_CLOSED_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "client/load/loop.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// Needs a LoadClock that is the steady clock.
class ClosedLoop final : public Loop {
 public:
  explicit ClosedLoop(const LoopParts& parts);
  ~ClosedLoop() override;

  void Start() override;
  bool WorkFor(absl::Duration time) override;
  void Wake() override;
  int in_flight() const override { return in_flight_.load(std::memory_order_relaxed); }
  int64_t unsent() const override { return 0; }

 private:
  class Slot;
  using Retry = std::pair<int64_t, Slot*>;  // When, on the steady clock in nanoseconds.

  void RetryAt(int64_t when_ns, Slot* slot);
  void SlotEnded();
  // Removes and returns the slots that are due, or all of them once the run is stopping.
  std::vector<Slot*> TakeDue(int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until slots are due (then returns them), all slots have ended, or it is `until_ns`.
  std::vector<Slot*> WaitForDue(int64_t until_ns);

  const LoopParts parts_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::atomic<int> in_flight_ = 0;

  Mutex mutex_;
  CondVar changed_;
  int active_slots_ ABSL_GUARDED_BY(mutex_) = 0;
  std::priority_queue<Retry, std::vector<Retry>, std::greater<>> retries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CLOSED_LOOP_H_
