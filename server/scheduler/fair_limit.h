// How much of a bounded resource, places in the queue or bytes of staging memory, a request finds open to it.
//
//   |<------------------------------ capacity ------------------------------>|
//   |<------- open to low ------->|                                          |
//   |<------------------- open to normal ------------------>|   high only    |
//
// Of what is open to it, one connection may hold at most kShareOfFree times what is free. So one that is alone may fill
// seven eighths, two may fill seven fifteenths each, and so on: whoever comes next always finds something, and nobody
// has to be counted. (Dynamic thresholds, as in the shared buffers of network switches.)
#ifndef FLASHCORE_SERVER_SCHEDULER_FAIR_LIMIT_H_
#define FLASHCORE_SERVER_SCHEDULER_FAIR_LIMIT_H_

#include <cstdint>

#include "server/telemetry/priority.h"

namespace flashcore {

inline constexpr int64_t kShareOfFree = 7;
inline constexpr int64_t kClosedToLowDivisor = 2;      // Half is closed to low,
inline constexpr int64_t kClosedToNormalDivisor = 16;  // a sixteenth to normal; of few places, none.

struct Claim {
  int64_t capacity = 0;
  int64_t taken = 0;   // By everybody.
  int64_t held = 0;    // Of that, by the connection that asks.
  int64_t wanted = 0;  // > 0
  Priority priority = Priority::kNormal;
};

enum class Verdict : uint8_t { kFree, kFull, kOverShare };

// What is open to `priority`.
constexpr int64_t OpenTo(Priority priority, int64_t capacity) {
  switch (priority) {
    case Priority::kLow:
      return capacity - capacity / kClosedToLowDivisor;
    case Priority::kNormal:
      return capacity - capacity / kClosedToNormalDivisor;
    case Priority::kHigh:
      return capacity;
  }
  return capacity;
}

// An idle server takes whatever fits at all.
constexpr Verdict Judge(const Claim& claim) {
  if (claim.taken == 0) return claim.wanted <= claim.capacity ? Verdict::kFree : Verdict::kFull;
  const int64_t free = OpenTo(claim.priority, claim.capacity) - claim.taken;
  if (claim.wanted > free) return Verdict::kFull;
  return claim.held / kShareOfFree < free ? Verdict::kFree : Verdict::kOverShare;
}

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_FAIR_LIMIT_H_
