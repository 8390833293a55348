#include "server/scheduler/backlog_limit.h"

#include <algorithm>

#include "server/scheduler/fair_limit.h"

namespace flashcore {
namespace {

// How much of a mean a new value is.
constexpr double kNewShare = 1.0 / 8;

// Whether so many requests, which take so long, are more than callers who wait for their answers would send.
bool IsOverload(int64_t requests, double backlog_ns) {
  return (requests >= BacklogLimit::kOverloadRequests && backlog_ns > BacklogLimit::kOverloadNs) ||
         (requests >= BacklogLimit::kLongOverloadRequests && backlog_ns > BacklogLimit::kLongOverloadNs);
}

}  // namespace

BacklogLimit::BacklogLimit(int64_t fixed_ns, int64_t lanes)
    : fixed_ns_(fixed_ns), least_requests_(std::max<int64_t>(lanes, 2)) {}

bool BacklogLimit::Admits(Priority priority, int64_t unfinished, double time_per_request_ns, int64_t now_ns) {
  if (fixed_ns_ == 0) {
    overloaded_ = IsOverload(unfinished, static_cast<double>(unfinished) * time_per_request_ns) ||
                  (overloaded_ && now_ns - refused_ns_ < kCalmNs);
    if (!overloaded_) return true;
  }
  if (Fits(priority, unfinished, time_per_request_ns)) return true;
  refused_ns_ = now_ns;
  return false;
}

bool BacklogLimit::Fits(Priority priority, int64_t unfinished, double time_per_request_ns) const {
  const int64_t least = fixed_ns_ == 0 ? least_requests_ : 1;
  if (unfinished < least) return true;
  const auto lonely_ns = static_cast<int64_t>(kLonelyRequests * lonely_ns_);
  const int64_t limit_ns = fixed_ns_ == 0 ? std::max(kLeastNs, lonely_ns) : fixed_ns_;
  return static_cast<double>(unfinished + 1) * time_per_request_ns <= static_cast<double>(OpenTo(priority, limit_ns));
}

void BacklogLimit::Joined(int64_t unfinished, int64_t now_ns) {
  alone_since_ns_ = unfinished == 0 ? std::optional(now_ns) : std::nullopt;
}

void BacklogLimit::Computed(int64_t now_ns) {
  if (!alone_since_ns_.has_value()) return;
  const auto took_ns = static_cast<double>(now_ns - *alone_since_ns_);
  lonely_ns_ = lonely_ns_ == 0 ? took_ns : lonely_ns_ + (took_ns - lonely_ns_) * kNewShare;
}

}  // namespace flashcore
