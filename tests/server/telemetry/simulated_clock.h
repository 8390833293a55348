// A clock that stands still until the test moves it. Thread-safe.
#ifndef FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_
#define FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_

#include <atomic>
#include <cstdint>
#include <thread>

#include "server/telemetry/clock.h"

namespace flashcore {

class SimulatedClock : public Clock {
 public:
  int64_t NowNs() const override {
    if (std::this_thread::get_id() != owner_) ++readings_elsewhere_;
    return now_ns_;
  }
  void AdvanceNs(int64_t ns) { now_ns_ += ns; }

  // How often other threads than the one that made it have asked for the time.
  int64_t readings_elsewhere() const { return readings_elsewhere_; }

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<int64_t> now_ns_ = 1'000'000;
  mutable std::atomic<int64_t> readings_elsewhere_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_TELEMETRY_SIMULATED_CLOCK_H_
