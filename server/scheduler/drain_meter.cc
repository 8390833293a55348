#include "server/scheduler/drain_meter.h"

#include <algorithm>
#include <cmath>

namespace flashcore {
namespace {

// Of the newest take. A change of load shows within some ten takes.
constexpr double kWeight = 1.0 / 8;
constexpr double kNsPerMs = 1e6;

}  // namespace

void DrainMeter::Took(int64_t taken, bool all_lanes_busy, int64_t now_ns) {
  if (busy_) {
    const double weight = taken_ == 0 ? 1.0 : kWeight;
    interval_ns_ += weight * (static_cast<double>(now_ns - last_ns_) - interval_ns_);
    taken_ += weight * (static_cast<double>(taken) - taken_);
  }
  busy_ = all_lanes_busy;
  last_ns_ = now_ns;
}

int64_t DrainMeter::RetryAfterMs(int64_t waiting) const {
  if (taken_ == 0) return kDefaultRetryMs;
  const double ms = std::ceil(static_cast<double>(waiting) * TimePerRequestNs() / kNsPerMs);
  return static_cast<int64_t>(
      std::clamp(ms, static_cast<double>(kLeastRetryMs), static_cast<double>(kGreatestRetryMs)));
}

}  // namespace flashcore
