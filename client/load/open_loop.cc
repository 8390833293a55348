#include "client/load/open_loop.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "client/load/arrivals.h"
#include "client/load/call_planner.h"

namespace flashcore {
namespace {

// A sleeping sender looks this often whether the run has been stopped.
constexpr int64_t kLongestSleepNs = 50'000'000;
// The kernel may wake a sleeper this much late to save power; its default is 50,000.
constexpr unsigned long kTimerSlackNs = 1;  // NOLINT(google-runtime-int): prctl's type.

std::chrono::steady_clock::time_point RealTimeAfter(absl::Duration time) {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(time);
}

}  // namespace

struct OpenLoop::Slot {
  CallPlan plan;
  CallTimes times;
  bool measured = false;
};

// One share of the schedule.
class OpenLoop::Sender {
 public:
  Sender(OpenLoop& loop, int number)
      : loop_(loop),
        parts_(loop.parts_),
        arrivals_({.kind = parts_.options.arrivals,
                   .rate = parts_.options.rate,
                   .seed = parts_.options.seed,
                   .sender = number,
                   .senders = parts_.options.senders},
                  parts_.control.run_start_ns()),
        planner_(parts_.workload, parts_.options, parts_.options.seed + static_cast<uint64_t>(number)) {}

  void Run() {
    pthread_setname_np(pthread_self(), "load-sender");
    prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
    int64_t due_ns = arrivals_.NextNs();
    for (Permit permit = Next(due_ns); permit != Permit::kNone; permit = Next(due_ns)) {
      if (!Send(due_ns, permit == Permit::kMeasured)) break;
      due_ns = arrivals_.NextNs();
    }
    loop_.SenderEnded();
  }

 private:
  // Sleeps until the call is due. kNone: it is not to be made.
  Permit Next(int64_t due_ns) {
    const Permit permit = parts_.control.MayStart(due_ns);
    if (permit == Permit::kNone) return permit;
    for (int64_t now_ns = parts_.clock.NowNs(); now_ns < due_ns; now_ns = parts_.clock.NowNs()) {
      if (parts_.control.stopping()) return Permit::kNone;
      parts_.clock.SleepUntilNs(std::min(due_ns, now_ns + kLongestSleepNs));
    }
    return permit;
  }

  // False: the time to send is over.
  bool Send(int64_t due_ns, bool measured) {
    bool waited = false;
    Slot* const slot = loop_.Take(loop_.last_send_ns(), waited);
    if (slot == nullptr) {
      CountUnsent(due_ns);
      return false;
    }
    const int64_t sent_ns = parts_.clock.NowNs();
    // What is late because of a wait, and until the sender has caught up, is the wait's doing.
    behind_ = waited || (behind_ && sent_ns - due_ns > CallStats::kLateNs);
    slot->plan = planner_.Next();
    slot->measured = measured;
    slot->times = {.intended_ns = due_ns, .sent_ns = sent_ns, .ended_ns = 0, .held_back = behind_};
    OpenLoop& loop = loop_;
    parts_.transport.Start(slot->plan,
                           [&loop, slot](CallOutcome outcome) { loop.CallEnded(slot, std::move(outcome)); });
    return true;
  }

  void CountUnsent(int64_t due_ns) {
    if (parts_.control.stopping()) return;
    while (parts_.control.MayStart(due_ns) != Permit::kNone) {
      loop_.unsent_.fetch_add(1, std::memory_order_relaxed);
      due_ns = arrivals_.NextNs();
    }
  }

  OpenLoop& loop_;
  const LoopParts& parts_;
  Arrivals arrivals_;
  CallPlanner planner_;
  bool behind_ = false;
};

OpenLoop::OpenLoop(const LoopParts& parts) : parts_(parts) {
  for (int i = 0; i < parts.options.max_in_flight; ++i) slots_.push_back(std::make_unique<Slot>());
  const MutexLock lock(mutex_);
  for (const std::unique_ptr<Slot>& slot : slots_) free_.push_back(slot.get());
}

OpenLoop::~OpenLoop() {
  for (std::thread& thread : threads_) thread.join();
}

void OpenLoop::Start() {
  {
    const MutexLock lock(mutex_);
    active_senders_ = parts_.options.senders;
  }
  for (int i = 0; i < parts_.options.senders; ++i) {
    senders_.push_back(std::make_unique<Sender>(*this, i));
    threads_.emplace_back([sender = senders_.back().get()] { sender->Run(); });
  }
}

bool OpenLoop::WorkFor(absl::Duration time) {
  const auto until = RealTimeAfter(time);
  const MutexLock lock(mutex_);
  while (active_senders_ > 0 || free_.size() < slots_.size()) {
    if (!changed_.WaitUntil(mutex_, until)) return false;
  }
  return true;
}

void OpenLoop::Wake() {
  const MutexLock lock(mutex_);
  changed_.NotifyAll();
}

OpenLoop::Slot* OpenLoop::Take(int64_t give_up_ns, bool& waited) {
  const MutexLock lock(mutex_);
  while (free_.empty() && !parts_.control.stopping()) {
    waited = true;
    // Real time: nothing else can be waited for, and the loop's clock is asked again after each wait.
    changed_.WaitUntil(mutex_, RealTimeAfter(absl::Nanoseconds(kLongestSleepNs)));
    if (parts_.clock.NowNs() >= give_up_ns) break;
  }
  if (free_.empty() || parts_.clock.NowNs() >= give_up_ns) return nullptr;
  Slot* const slot = free_.back();
  free_.pop_back();
  in_flight_.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

void OpenLoop::GiveBack(Slot* slot) {
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  const MutexLock lock(mutex_);
  const bool wake = free_.empty() || (active_senders_ == 0 && free_.size() + 1 == slots_.size());
  free_.push_back(slot);
  if (wake) changed_.NotifyAll();
}

void OpenLoop::CallEnded(Slot* slot, CallOutcome outcome) {
  slot->times.ended_ns = parts_.clock.NowNs();
  if (slot->measured) {
    parts_.recorder.Record(slot->times, parts_.control.measure_start_ns(), *slot->plan.request, outcome);
  }
  if (!outcome.cancelled_by_plan) parts_.control.NoteOutcome(outcome.status.ok(), slot->measured);
  if (parts_.verifier != nullptr && outcome.answer.has_value() &&
      !parts_.verifier->SubmitIfRoom(*slot->plan.request, *std::move(outcome.answer)) && slot->measured) {
    parts_.recorder.CountCheckSkipped();
  }
  GiveBack(slot);
}

void OpenLoop::SenderEnded() {
  const MutexLock lock(mutex_);
  --active_senders_;
  changed_.NotifyAll();
}

int64_t OpenLoop::last_send_ns() const {
  if (parts_.options.phases.requests > 0) return std::numeric_limits<int64_t>::max();
  const int64_t end_ns = parts_.control.measure_end_ns();
  return AfterNs(end_ns, std::min(kCatchUp, parts_.options.phases.duration));
}

}  // namespace flashcore
