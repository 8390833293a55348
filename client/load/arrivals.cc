#include "client/load/arrivals.h"

#include <cmath>

namespace flashcore {
namespace {

constexpr double kNsPerSecond = 1e9;

std::mt19937_64 RandomFor(const ArrivalOptions& options) {
  constexpr int kHalf = 32;
  std::seed_seq seed{static_cast<uint32_t>(options.seed), static_cast<uint32_t>(options.seed >> kHalf),
                     static_cast<uint32_t>(options.sender)};
  return std::mt19937_64(seed);
}

}  // namespace

Arrivals::Arrivals(const ArrivalOptions& options, int64_t start_ns)
    : options_(options),
      start_ns_(start_ns),
      random_(RandomFor(options)),
      gap_ns_(options.rate / options.senders / kNsPerSecond) {}

int64_t Arrivals::NextNs() {
  if (options_.kind == ArrivalKind::kPoisson) {
    poisson_offset_ns_ += gap_ns_(random_);
    return start_ns_ + std::llround(poisson_offset_ns_);
  }
  const int64_t number = index_++ * options_.senders + options_.sender;
  return start_ns_ + std::llround(static_cast<double>(number) * kNsPerSecond / options_.rate);
}

}  // namespace flashcore
