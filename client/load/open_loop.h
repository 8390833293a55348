// An open loop: calls are made when they are due, whatever became of those before them, as independent users would.
//
// Senders, one thread each, sleep until a call is due and make it. A bounded number of calls is under way; when that
// many are, a sender waits, and the calls that were due meanwhile go out late. Their latency from the intended start
// says so; the latency from the send, which most load clients report, does not. When the measured time is over, what is
// still due gets as long again to be sent, at most kCatchUp, and counts as unsent after that.
#ifndef FLASHCORE_CLIENT_LOAD_OPEN_LOOP_H_
#define FLASHCORE_CLIENT_LOAD_OPEN_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "client/load/loop.h"
#include "kernels/base/mutex.h"

namespace flashcore {

class OpenLoop final : public Loop {
 public:
  static constexpr absl::Duration kCatchUp = absl::Seconds(10);

  explicit OpenLoop(const LoopParts& parts);
  // Joins the senders.
  ~OpenLoop() override;

  void Start() override;
  bool WorkFor(absl::Duration time) override;
  void Wake() override;
  int in_flight() const override { return in_flight_.load(std::memory_order_relaxed); }
  int64_t unsent() const override { return unsent_.load(std::memory_order_relaxed); }

 private:
  class Sender;
  struct Slot;

  // A slot for one call. Blocks while all are taken; nullptr once the run is stopping or it is `give_up_ns` by the
  // loop's clock. `waited` says whether it blocked.
  Slot* Take(int64_t give_up_ns, bool& waited);
  void GiveBack(Slot* slot);
  void CallEnded(Slot* slot, CallOutcome outcome);
  void SenderEnded();
  // When a call that is still due need not be sent any more.
  int64_t last_send_ns() const;

  const LoopParts parts_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::unique_ptr<Sender>> senders_;
  std::vector<std::thread> threads_;
  std::atomic<int> in_flight_ = 0;
  std::atomic<int64_t> unsent_ = 0;

  Mutex mutex_;
  CondVar changed_;
  std::vector<Slot*> free_ ABSL_GUARDED_BY(mutex_);
  int active_senders_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_OPEN_LOOP_H_
