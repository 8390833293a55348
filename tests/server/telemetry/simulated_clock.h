// A clock that stands still until the test moves it. Thread-safe.
#ifndef FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_
#define FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "server/telemetry/clock.h"

namespace flashcore {

class SimulatedClock : public Clock {
 public:
  int64_t NowNs() const override { return now_ns_; }
  void AdvanceNs(int64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<int64_t> now_ns_ = 1'000'000;
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_
