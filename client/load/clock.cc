#include "client/load/clock.h"

#include <chrono>
#include <limits>
#include <thread>

namespace flashcore {

int64_t SteadyLoadClock::NowNs() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void SteadyLoadClock::SleepUntilNs(int64_t when_ns) {
  std::this_thread::sleep_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(when_ns)));
}

int64_t AfterNs(int64_t now_ns, absl::Duration delay) {
  if (delay >= absl::Nanoseconds(std::numeric_limits<int64_t>::max() - now_ns)) {
    return std::numeric_limits<int64_t>::max();
  }
  return now_ns + absl::ToInt64Nanoseconds(delay);
}

}  // namespace flashcore
