// Time as the load client sees it: the steady clock, or a test's own.
#ifndef FLASHCORE_CLIENT_LOAD_CLOCK_H_
#define FLASHCORE_CLIENT_LOAD_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace flashcore {

// Thread-safe. Times are nanoseconds since an epoch of the clock's own, and never go back.
class LoadClock {
 public:
  LoadClock() = default;
  virtual ~LoadClock() = default;
  LoadClock(const LoadClock&) = delete;
  LoadClock& operator=(const LoadClock&) = delete;

  virtual int64_t NowNs() const = 0;
  // Blocks until NowNs() >= when_ns; at once if it is already.
  virtual void SleepUntilNs(int64_t when_ns) = 0;
};

// std::chrono::steady_clock.
class SteadyLoadClock final : public LoadClock {
 public:
  int64_t NowNs() const override;
  void SleepUntilNs(int64_t when_ns) override;
};

// `delay` after `now_ns`; the greatest int64 if that is never.
int64_t AfterNs(int64_t now_ns, absl::Duration delay);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CLOCK_H_
