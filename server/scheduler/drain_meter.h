// How fast the server gets through its requests when it is busy, measured, and so when a client that was turned away
// should try again.
//
// Only the time between two takes with every lane at work all along counts: otherwise it says how fast requests come,
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
  // A lane took `taken` > 0 requests at `now_ns`. `all_lanes_busy`: no other is without work.
  void Took(int64_t taken, bool all_lanes_busy, int64_t now_ns);
  // A lane found nothing to take.
  void LaneIdled() { busy_ = false; }

  // By the last takes; 0 before there was anything to measure.
  double TimePerRequestNs() const { return taken_ == 0 ? 0 : interval_ns_ / taken_; }

  // Until as many as wait now have gone, at the rate of the last takes.
  int64_t RetryAfterMs(int64_t waiting) const;

 private:
  bool busy_ = false;  // Every lane, since the last take.
  int64_t last_ns_ = 0;
  // Moving averages over takes; their quotient is the time that one request takes.
  double interval_ns_ = 0;
  double taken_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_DRAIN_METER_H_
