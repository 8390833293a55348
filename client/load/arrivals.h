// When the calls of an open loop are due, whatever the server does.
#ifndef FLASHCORE_CLIENT_LOAD_ARRIVALS_H_
#define FLASHCORE_CLIENT_LOAD_ARRIVALS_H_

#include <cstdint>
#include <random>

namespace flashcore {

enum class ArrivalKind : uint8_t {
  kConstant,  // One every 1 / rate.
  kPoisson,   // Independent of each other: exponential gaps with mean 1 / rate.
};

struct ArrivalOptions {
  ArrivalKind kind = ArrivalKind::kConstant;
  double rate = 1;  // Calls per second, of all senders together. > 0.
  uint64_t seed = 0;
  // The schedule is dealt to this many senders, of which this is number `sender`. Constant arrivals interleave; a
  // Poisson process is the sum of Poisson processes of a share of its rate.
  int sender = 0;
  int senders = 1;
};

// One sender's share of the schedule. The same options give the same schedule. Not thread-safe.
class Arrivals {
 public:
  Arrivals(const ArrivalOptions& options, int64_t start_ns);

  // The next due time: never before `start_ns`, never before the one returned last. Constant arrivals do not drift:
  // call n is due at start + n / rate, rounded to a nanosecond.
  int64_t NextNs();

 private:
  const ArrivalOptions options_;
  const int64_t start_ns_;
  int64_t index_ = 0;
  double poisson_offset_ns_ = 0;
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_ns_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_ARRIVALS_H_
