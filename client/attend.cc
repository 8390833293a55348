#include "client/attend.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"

namespace flashcore {
namespace {

constexpr char kRetryAfterPayload[] = "flashcore/retry-after-ms";

}  // namespace

absl::string_view Name(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return "low";
    case Priority::kNormal:
      return "normal";
    case Priority::kHigh:
      return "high";
  }
  return "unknown";
}

std::optional<Priority> PriorityFromName(absl::string_view name) {
  for (const Priority priority : {Priority::kLow, Priority::kNormal, Priority::kHigh}) {
    if (name == Name(priority)) return priority;
  }
  return std::nullopt;
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryAfterPayload);
  int64_t milliseconds = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &milliseconds) || milliseconds < 0) {
    return std::nullopt;
  }
  return absl::Milliseconds(milliseconds);
}

void SetRetryAfter(absl::Status& status, absl::string_view milliseconds) {
  status.SetPayload(kRetryAfterPayload, absl::Cord(milliseconds));
}

}  // namespace flashcore
