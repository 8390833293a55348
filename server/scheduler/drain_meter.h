// How fast the queue drains, measured, and so when a client that was turned away should try again.
//
// Only the time between two takes with something waiting all along counts: otherwise it says how fast requests come,
// not how fast they go. Not thread-safe.
#ifndef FLASHCORE_SERVER_SCHEDULER_DRAIN_METER_H_
#define FLASHCORE_SERVER_SCHEDULER_DRAIN_METER_H_

#include <cstdint>

namespace flashcore {

// The hint before anything was measured, and its bounds: short enough to be worth waiting for, long enough to be no
// second overload.
inline constexpr int64_t kDefaultRetryMs = 100;
inline constexpr int64_t kLeastRetryMs = 10;
inline constexpr int64_t kGreatestRetryMs = 10'000;

class DrainMeter {
 public:
  // A lane took `taken` > 0 requests at `now_ns` and left `left` waiting.
  void Took(int64_t taken, int64_t left, int64_t now_ns);

  // Until as many as wait now have gone, at the rate of the last takes.
  int64_t RetryAfterMs(int64_t waiting) const;

 private:
  bool backlogged_ = false;  // Since the last take.
  int64_t last_ns_ = 0;
  // Moving averages over takes; their quotient is the time that one request takes.
  double interval_ns_ = 0;
  double taken_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_DRAIN_METER_H_
