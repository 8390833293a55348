#include "client/load/closed_loop.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "client/attend.h"
#include "client/load/call_planner.h"

namespace flashcore {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(10);
constexpr absl::Duration kLongestPause = absl::Seconds(1);

}  // namespace

// One place in the loop. Exactly one thread at a time works on a slot; the hand-over is through phase_, the loop's
// mutex or the verifier's.
class ClosedLoop::Slot {
 public:
  Slot(ClosedLoop& loop, uint64_t seed)
      : loop_(loop), parts_(loop.parts_), planner_(parts_.workload, parts_.options, seed) {}

  // Makes calls until one is answered by another thread, which then goes on here, until the slot has to wait, or until
  // the run is over. A call answered on the spot is one more turn of the loop, not one more stack frame. The slot may
  // not be touched after this has returned.
  void Drive() {
    do {
      const int64_t now_ns = parts_.clock.NowNs();
      permit_ = parts_.control.MayStart(now_ns);
      if (permit_ == Permit::kNone) {
        loop_.SlotEnded();
        return;
      }
      if (!Call(now_ns)) return;
    } while (Settle());
  }

 private:
  enum class Phase : uint8_t { kStarting, kStarted, kEnded };

  // True: the call is over already. False: the callback goes on.
  bool Call(int64_t now_ns) {
    phase_.store(Phase::kStarting, std::memory_order_relaxed);
    plan_ = planner_.Next();
    times_ = {.intended_ns = now_ns, .sent_ns = now_ns, .ended_ns = 0, .held_back = false};
    loop_.in_flight_.fetch_add(1, std::memory_order_relaxed);
    parts_.transport.Start(plan_, [this](CallOutcome outcome) {
      times_.ended_ns = parts_.clock.NowNs();
      outcome_ = std::move(outcome);
      if (phase_.exchange(Phase::kEnded, std::memory_order_acq_rel) == Phase::kStarted && Settle()) Drive();
    });
    return phase_.exchange(Phase::kStarted, std::memory_order_acq_rel) == Phase::kEnded;
  }

  // Books the outcome. False: somebody calls Drive later.
  bool Settle() {
    loop_.in_flight_.fetch_sub(1, std::memory_order_relaxed);
    const bool measured = permit_ == Permit::kMeasured;
    if (measured) parts_.recorder.Record(times_, parts_.control.measure_start_ns(), *plan_.request, outcome_);
    if (outcome_.cancelled_by_plan) return true;
    const bool answered = outcome_.status.ok();
    parts_.control.NoteOutcome(answered, measured);
    if (!answered) {
      pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
      loop_.RetryAt(AfterNs(times_.ended_ns, RetryAfter(outcome_.status).value_or(pause_)), this);
      return false;
    }
    pause_ = absl::ZeroDuration();
    if (parts_.verifier == nullptr || !outcome_.answer.has_value()) return true;
    // Nothing of the slot may be touched once the verifier has it.
    Recorder* const recorder = measured ? &parts_.recorder : nullptr;
    const bool go_on = parts_.verifier->SubmitOrWait(*plan_.request, *std::move(outcome_.answer), [this] { Drive(); });
    if (!go_on && recorder != nullptr) recorder->CountCheckWait();
    return go_on;
  }

  ClosedLoop& loop_;
  const LoopParts& parts_;
  CallPlanner planner_;
  std::atomic<Phase> phase_ = Phase::kStarting;
  Permit permit_ = Permit::kNone;
  CallPlan plan_;
  CallTimes times_;
  CallOutcome outcome_;
  absl::Duration pause_;
};

ClosedLoop::ClosedLoop(const LoopParts& parts) : parts_(parts) {
  for (int i = 0; i < parts.options.concurrency; ++i) {
    slots_.push_back(std::make_unique<Slot>(*this, parts.options.seed + static_cast<uint64_t>(i)));
  }
}

ClosedLoop::~ClosedLoop() = default;

void ClosedLoop::Start() {
  {
    const MutexLock lock(mutex_);
    active_slots_ = parts_.options.concurrency;
  }
  for (const std::unique_ptr<Slot>& slot : slots_) slot->Drive();
}

bool ClosedLoop::WorkFor(absl::Duration time) {
  for (Slot* slot : WaitForDue(AfterNs(parts_.clock.NowNs(), time))) slot->Drive();
  const MutexLock lock(mutex_);
  return active_slots_ == 0;
}

void ClosedLoop::Wake() {
  const MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void ClosedLoop::RetryAt(int64_t when_ns, Slot* slot) {
  const MutexLock lock(mutex_);
  retries_.emplace(when_ns, slot);
  changed_.NotifyAll();
}

void ClosedLoop::SlotEnded() {
  const MutexLock lock(mutex_);
  --active_slots_;
  changed_.NotifyAll();
}

std::vector<ClosedLoop::Slot*> ClosedLoop::TakeDue(int64_t now_ns) {
  std::vector<Slot*> due;
  while (!retries_.empty() && (retries_.top().first <= now_ns || parts_.control.stopping())) {
    due.push_back(retries_.top().second);
    retries_.pop();
  }
  return due;
}

std::vector<ClosedLoop::Slot*> ClosedLoop::WaitForDue(int64_t until_ns) {
  using Clock = std::chrono::steady_clock;
  const MutexLock lock(mutex_);
  for (;;) {
    const int64_t now_ns = parts_.clock.NowNs();
    std::vector<Slot*> due = TakeDue(now_ns);
    if (!due.empty() || active_slots_ == 0 || now_ns >= until_ns) return due;
    const int64_t wake_ns = retries_.empty() ? until_ns : std::min(until_ns, retries_.top().first);
    changed_.WaitUntil(mutex_, Clock::time_point(std::chrono::nanoseconds(wake_ns)));
  }
}

}  // namespace flashcore
