#include "server/scheduler/drain_meter.h"

#include <algorithm>
#include <cmath>

namespace flashcore {
namespace {

// How much of the sums is left after another batch. A change of load shows within some ten batches.
constexpr double kFade = 7.0 / 8;
constexpr double kNsPerMs = 1e6;

}  // namespace

void DrainMeter::Finished(int64_t requests, int64_t taken_ns, int64_t now_ns, bool all_lanes_busy) {
  const auto interval_ns = static_cast<double>(now_ns - (busy_ ? last_ns_ : taken_ns));
  const auto count = static_cast<double>(requests);
  if (busy_ || requests_ == 0 || interval_ns < TimePerRequestNs() * count) {
    interval_ns_ = interval_ns_ * kFade + interval_ns;
    requests_ = requests_ * kFade + count;
  }
  busy_ = all_lanes_busy;
  last_ns_ = now_ns;
}

int64_t DrainMeter::RetryAfterMs(int64_t waiting) const {
  if (requests_ == 0) return kDefaultRetryMs;
  const double ms = std::ceil(static_cast<double>(waiting) * TimePerRequestNs() / kNsPerMs);
  return static_cast<int64_t>(
      std::clamp(ms, static_cast<double>(kLeastRetryMs), static_cast<double>(kGreatestRetryMs)));
}

}  // namespace flashcore
