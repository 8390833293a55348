#include "client/load/runner.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <random>
#include <utility>

#include "absl/status/statusor.h"

namespace flashcore {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(10);
constexpr absl::Duration kLongestPause = absl::Seconds(1);

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// `delay` after `now_ns`, or never.
int64_t After(int64_t now_ns, absl::Duration delay) {
  if (delay >= absl::Nanoseconds(std::numeric_limits<int64_t>::max() - now_ns)) {
    return std::numeric_limits<int64_t>::max();
  }
  return now_ns + absl::ToInt64Nanoseconds(delay);
}

}  // namespace

// One place in the loop. Exactly one thread at a time works on a slot; the hand-over is through phase_, the runner's
// mutex or the verifier's.
class Runner::Slot {
 public:
  Slot(Runner& runner, uint64_t seed) : runner_(runner), random_(seed) {}

  // Makes calls until one is answered by another thread, which then goes on here, until the slot has to wait, or until
  // the run is over. A call answered on the spot is one more turn of the loop, not one more stack frame. The slot may
  // not be touched after this has returned.
  void Drive() {
    do {
      const int64_t now_ns = NowNs();
      permit_ = runner_.MayStart(now_ns);
      if (permit_ == Permit::kNone) {
        runner_.SlotEnded();
        return;
      }
      if (!Call(now_ns)) return;
    } while (Settle());
  }

  const CallStats& stats() const { return stats_; }
  int64_t last_end_ns() const { return last_end_ns_; }

 private:
  enum class Phase : uint8_t { kStarting, kStarted, kAnswered };

  // True: the answer is here already. False: the callback goes on.
  bool Call(int64_t now_ns) {
    phase_.store(Phase::kStarting, std::memory_order_relaxed);
    request_ = &runner_.workload_.Pick(random_);
    start_ns_ = now_ns;
    runner_.start_(*request_, [this](absl::StatusOr<AttendResult> answer) {
      end_ns_ = NowNs();
      answer_ = std::move(answer);
      if (phase_.exchange(Phase::kAnswered, std::memory_order_acq_rel) == Phase::kStarted && Settle()) Drive();
    });
    return phase_.exchange(Phase::kStarted, std::memory_order_acq_rel) == Phase::kAnswered;
  }

  // Books the answer. False: somebody calls Drive later.
  bool Settle() {
    const bool measured = permit_ == Permit::kMeasured;
    const bool answered = answer_.ok();
    if (measured) Record();
    runner_.NoteOutcome(answered, measured);
    if (!answered) {
      pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
      runner_.RetryAt(After(end_ns_, RetryAfter(answer_.status()).value_or(pause_)), this);
      return false;
    }
    pause_ = absl::ZeroDuration();
    if (!IsSampled()) return true;
    return runner_.verifier_->Submit(*request_, *std::move(answer_), [this] { Drive(); });
  }

  void Record() {
    last_end_ns_ = end_ns_;
    if (answer_.ok()) {
      stats_.RecordAnswer(end_ns_ - start_ns_, *request_, *answer_);
    } else {
      stats_.RecordError(answer_.status());
    }
  }

  bool IsSampled() {
    if (runner_.verifier_ == nullptr || !request_->expected.has_value()) return false;
    return std::uniform_real_distribution<double>(0, 1)(random_) < runner_.options_.verify_fraction;
  }

  Runner& runner_;
  std::mt19937_64 random_;
  std::atomic<Phase> phase_ = Phase::kStarting;
  Permit permit_ = Permit::kNone;
  const PreparedRequest* request_ = nullptr;
  int64_t start_ns_ = 0;
  int64_t end_ns_ = 0;
  int64_t last_end_ns_ = 0;  // Of measured calls.
  absl::Duration pause_;
  absl::StatusOr<AttendResult> answer_;
  CallStats stats_;
};

Runner::Runner(StartAttend start, const Workload& workload, Verifier* verifier, const RunOptions& options)
    : start_(std::move(start)), workload_(workload), verifier_(verifier), options_(options) {
  for (int i = 0; i < options_.concurrency; ++i) {
    slots_.push_back(std::make_unique<Slot>(*this, options_.seed + static_cast<uint64_t>(i)));
  }
}

Runner::~Runner() = default;

RunResult Runner::Run(const std::function<void(const RunProgress&)>& progress) {
  run_start_ns_ = NowNs();
  last_answer_ns_ = run_start_ns_;
  measure_start_ns_ = After(run_start_ns_, options_.warmup);
  measure_end_ns_ = After(measure_start_ns_, options_.duration);
  {
    const MutexLock lock(mutex_);
    active_slots_ = options_.concurrency;
  }
  for (const std::unique_ptr<Slot>& slot : slots_) slot->Drive();

  int64_t next_report_ns = After(run_start_ns_, kProgressInterval);
  for (;;) {
    for (Slot* slot : WaitForDue(next_report_ns)) slot->Drive();
    const int64_t now_ns = NowNs();
    if (ShouldGiveUp(now_ns)) {
      gave_up_ = true;
      stopping_ = true;
    }
    if (now_ns >= next_report_ns) {
      progress(Progress(now_ns));
      next_report_ns = After(now_ns, kProgressInterval);
    }
    const MutexLock lock(mutex_);
    if (active_slots_ == 0) break;
  }
  // The verifier may still hold a slot's last answer, never a slot: those have all ended.
  return Collect(measure_start_ns_);
}

void Runner::Stop() {
  stopped_by_caller_ = true;
  stopping_ = true;
  const MutexLock lock(mutex_);
  changed_.NotifyAll();
}

Runner::Permit Runner::MayStart(int64_t now_ns) {
  if (stopping_.load(std::memory_order_relaxed)) return Permit::kNone;
  if (now_ns < measure_start_ns_) return Permit::kUnmeasured;
  if (options_.requests > 0) {
    const int64_t before = requests_started_.fetch_add(1, std::memory_order_relaxed);
    return before < options_.requests ? Permit::kMeasured : Permit::kNone;
  }
  return now_ns < measure_end_ns_ ? Permit::kMeasured : Permit::kNone;
}

void Runner::RetryAt(int64_t when_ns, Slot* slot) {
  const MutexLock lock(mutex_);
  retries_.emplace(when_ns, slot);
  changed_.NotifyAll();
}

void Runner::SlotEnded() {
  const MutexLock lock(mutex_);
  --active_slots_;
  changed_.NotifyAll();
}

void Runner::NoteOutcome(bool answered, bool measured) {
  if (answered) {
    last_answer_ns_.store(NowNs(), std::memory_order_relaxed);
    failed_since_answer_.store(0, std::memory_order_relaxed);
  } else {
    failed_since_answer_.fetch_add(1, std::memory_order_relaxed);
  }
  if (measured) (answered ? answered_ : failed_).fetch_add(1, std::memory_order_relaxed);
}

RunProgress Runner::Progress(int64_t now_ns) const {
  return {.warming_up = now_ns < measure_start_ns_,
          .elapsed = absl::Nanoseconds(now_ns - run_start_ns_),
          .answered = answered_.load(std::memory_order_relaxed),
          .failed = failed_.load(std::memory_order_relaxed)};
}

bool Runner::ShouldGiveUp(int64_t now_ns) const {
  return !stopping_ && failed_since_answer_.load(std::memory_order_relaxed) > 0 &&
         now_ns >= After(last_answer_ns_.load(std::memory_order_relaxed), options_.give_up_after);
}

std::vector<Runner::Slot*> Runner::TakeDue(int64_t now_ns) {
  std::vector<Slot*> due;
  while (!retries_.empty() && (retries_.top().first <= now_ns || stopping_)) {
    due.push_back(retries_.top().second);
    retries_.pop();
  }
  return due;
}

std::vector<Runner::Slot*> Runner::WaitForDue(int64_t until_ns) {
  using Clock = std::chrono::steady_clock;
  const MutexLock lock(mutex_);
  for (;;) {
    std::vector<Slot*> due = TakeDue(NowNs());
    if (!due.empty() || active_slots_ == 0 || NowNs() >= until_ns) return due;
    const int64_t wake_ns = retries_.empty() ? until_ns : std::min(until_ns, retries_.top().first);
    changed_.WaitUntil(mutex_, Clock::time_point(std::chrono::nanoseconds(wake_ns)));
  }
}

RunResult Runner::Collect(int64_t measure_start_ns) const {
  RunResult result{.stats = {}, .elapsed = absl::ZeroDuration(), .gave_up = gave_up_, .stopped = stopped_by_caller_};
  int64_t end_ns = measure_start_ns;
  for (const std::unique_ptr<Slot>& slot : slots_) {
    result.stats.Merge(slot->stats());
    end_ns = std::max(end_ns, slot->last_end_ns());
  }
  result.elapsed = absl::Nanoseconds(end_ns - measure_start_ns);
  return result;
}

}  // namespace flashcore
