// The server's only source of time, so that tests can bring their own.
#ifndef FLASHCORE_SERVER_TELEMETRY_CLOCK_H_
#define FLASHCORE_SERVER_TELEMETRY_CLOCK_H_

#include <cstdint>
#include <limits>

namespace flashcore {

// A deadline that never comes.
inline constexpr int64_t kNoDeadlineNs = std::numeric_limits<int64_t>::max();

// Monotonic. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary, fixed moment.
  virtual int64_t NowNs() const = 0;
};

// std::chrono::steady_clock. Lives forever.
const Clock& SteadyClock();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_CLOCK_H_
