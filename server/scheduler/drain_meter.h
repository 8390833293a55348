// How long the server takes for one request when it is busy, measured, and so when a client that was turned away should
// try again.
//
// While every lane works, that is the time from one finished batch to the next by what was in it. Otherwise it would
// say how fast requests come, not how fast they go; but no request takes longer than its batch takes on its lane, so
// that bounds it. Not thread-safe.
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
  // A lane is through with a batch of `requests` > 0 that it took at `taken_ns`. `all_lanes_busy`: all others are at
  // work.
  void Finished(int64_t requests, int64_t taken_ns, int64_t now_ns, bool all_lanes_busy);
  // A lane found nothing to take.
  void LaneIdled() { busy_ = false; }

  // By the last batches; 0 before there was any.
  double TimePerRequestNs() const { return requests_ == 0 ? 0 : interval_ns_ / requests_; }
  // Until as many as wait now have gone.
  int64_t RetryAfterMs(int64_t waiting) const;

 private:
  bool busy_ = false;  // Every lane, since the last batch was finished.
  int64_t last_ns_ = 0;
  // Sums that fade: only their quotient means something.
  double interval_ns_ = 0;
  double requests_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_DRAIN_METER_H_
