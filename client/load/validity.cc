#include "client/load/validity.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace flashcore {
namespace {

constexpr double kNsPerMs = 1e6;
constexpr double kPercent = 100;
constexpr double kTail = 0.99;
// Below these, a share says nothing: /proc counts CPU time in ticks of 10 ms.
constexpr double kLeastWallSeconds = 0.5;
constexpr int64_t kLeastWakes = 50;

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

void JudgeSends(const RunOptions& options, const RunResult& result, Validity& validity) {
  if (!options.open_loop()) return;
  const CallStats& stats = result.stats;
  const double bound_ns = std::max(static_cast<double>(CallStats::kLateNs),
                                   kMaxDelayShare * static_cast<double>(stats.latency.Quantile(kTail)));
  const double late = Share(stats.send_delay.CountAbove(static_cast<int64_t>(bound_ns)), stats.ended());
  if (late > kMaxLateShare) {
    validity.reasons.push_back(
        absl::StrFormat("late sends: %.1f %% of the calls went out more than %.1f ms after they were due (at most %.0f "
                        "%% may); the client "
                        "could not keep the schedule",
                        late * kPercent, bound_ns / kNsPerMs, kMaxLateShare * kPercent));
  }
  if (stats.held_back > 0) {
    validity.notes.push_back(absl::StrFormat(
        "the server did not keep up: %d calls waited because %d were under way (--max_in_flight); their "
        "latency from the intended start includes that wait",
        stats.held_back, options.max_in_flight));
  }
  if (result.unsent > 0) {
    validity.notes.push_back(absl::StrFormat(
        "%d calls that were due were never sent: the server is slower than the rate, and percentiles are too low",
        result.unsent));
  }
}

void JudgeCpu(const RunResult& result, Validity& validity) {
  const ClientUse& use = result.client;
  if (use.wall_s < kLeastWallSeconds) {
    validity.notes.emplace_back("too short to say whether the client was the limit");
    return;
  }
  const double share = use.cores_used() / use.cores;
  if (share > kMaxCpuShare) {
    validity.reasons.push_back(absl::StrFormat("client CPU: %.2f of %d cores were used by the client (at most %.0f %%)",
                                               use.cores_used(), use.cores, kMaxCpuShare * kPercent));
  }
  if (use.busiest_thread() > kMaxThreadShare) {
    validity.reasons.push_back(
        absl::StrFormat("busy thread: one of the client's threads was busy for %.0f %% of the "
                        "time (at most %.0f %%); more --channels may spread the work",
                        use.busiest_thread() * kPercent, kMaxThreadShare * kPercent));
  }
}

void JudgeWakes(const RunResult& result, Validity& validity) {
  const Histogram& wakes = result.client.wake_delay;
  if (wakes.count() < kLeastWakes || result.stats.answered() == 0) return;
  const auto delay_ns = static_cast<double>(wakes.Quantile(kTail));
  const auto p99_ns = static_cast<double>(result.stats.latency.Quantile(kTail));
  if (delay_ns <= std::max(kNsPerMs, kMaxWakeShare * p99_ns)) return;
  validity.reasons.push_back(absl::StrFormat(
      "starved: a sleeping thread of the client woke %.1f ms late at the 99th percentile, against a reported p99 of "
      "%.1f ms (at most %.0f %% of it); this machine had too little CPU to spare",
      delay_ns / kNsPerMs, p99_ns / kNsPerMs, kMaxWakeShare * kPercent));
}

void NoteFigures(const RunResult& result, Validity& validity) {
  const CallStats& stats = result.stats;
  constexpr int64_t kEnoughForTail = 100;
  if (stats.answered() > 0 && stats.answered() < kEnoughForTail) {
    validity.notes.push_back(
        absl::StrFormat("only %d answers: p99 and above are just the slowest of them", stats.answered()));
  }
  if (stats.check_waits > 0) {
    validity.notes.push_back(absl::StrFormat(
        "%d answers made the loop wait for their check, so the rate is lower than the server's", stats.check_waits));
  }
  if (stats.check_skipped > 0) {
    validity.notes.push_back(
        absl::StrFormat("%d sampled answers were not checked: too many waited", stats.check_skipped));
  }
}

}  // namespace

double HeldBackShare(const RunResult& result) {
  return Share(result.stats.held_back + result.unsent, result.stats.ended() + result.unsent);
}

Validity Judge(const RunOptions& options, const RunResult& result) {
  Validity validity;
  JudgeSends(options, result, validity);
  JudgeCpu(result, validity);
  JudgeWakes(result, validity);
  NoteFigures(result, validity);
  return validity;
}

}  // namespace flashcore
