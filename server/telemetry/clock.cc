#include "server/telemetry/clock.h"

#include <chrono>

namespace flashcore {
namespace {

class SteadyClockImpl : public Clock {
 public:
  int64_t NowNs() const override {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
};

}  // namespace

const Clock& SteadyClock() {
  static const SteadyClockImpl clock;
  return clock;
}

}  // namespace flashcore
