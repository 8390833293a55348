// When to come back: carried by the statuses that say the server is full.
#ifndef FLASHCORE_SERVER_SCHEDULER_RETRY_HINT_H_
#define FLASHCORE_SERVER_SCHEDULER_RETRY_HINT_H_

#include <cstdint>

#include "absl/status/status.h"

namespace flashcore {

// `status`, not OK, with a hint of `ms` > 0 milliseconds.
absl::Status WithRetryAfter(absl::Status status, int64_t ms);

// In milliseconds; 0: no hint.
int64_t RetryAfterMs(const absl::Status& status);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_RETRY_HINT_H_
