#include "server/scheduler/retry_hint.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace flashcore {
namespace {

constexpr char kPayloadUrl[] = "flashcore/retry_after_ms";

}  // namespace

absl::Status WithRetryAfter(absl::Status status, int64_t ms) {
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(ms)));
  return status;
}

int64_t RetryAfterMs(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  int64_t ms = 0;
  return payload.has_value() && absl::SimpleAtoi(std::string(*payload), &ms) ? ms : 0;
}

}  // namespace flashcore
