// Division by a number that the host knows and the device does not: one multiplication and one shift, where the
// hardware's own takes some twenty instructions.
#ifndef FLASHCORE_KERNELS_CUDA_DIVISOR_H_
#define FLASHCORE_KERNELS_CUDA_DIVISOR_H_

#include <bit>
#include <cstdint>

namespace flashcore::cuda {

struct Divisor {
  uint32_t multiplier;
  uint32_t shift;
};

// For dividends below 2^31; `value` is at least 1. With s = ceil(log2(value)), quotients are
// (n + n * multiplier / 2^32) / 2^s, multiplier = ceil(2^32 * 2^s / value) - 2^32 (Granlund and Montgomery, 1994).
constexpr Divisor MakeDivisor(int32_t value) {
  const auto divisor = static_cast<uint64_t>(value);
  const auto shift = static_cast<uint32_t>(std::bit_width(divisor - 1));
  const uint64_t excess = (uint64_t{1} << shift) - divisor;
  return {static_cast<uint32_t>((excess << 32) / divisor + 1), shift};
}

// The hardware's upper half of a product of 32 bits is spelled differently on the device.
#ifdef __CUDACC__
__device__ inline int Quotient(int dividend, const Divisor& divisor) {
  const auto n = static_cast<uint32_t>(dividend);
  return static_cast<int>((__umulhi(n, divisor.multiplier) + n) >> divisor.shift);
}
#else
constexpr int Quotient(int dividend, const Divisor& divisor) {
  const auto n = static_cast<uint32_t>(dividend);
  return static_cast<int>((static_cast<uint32_t>(uint64_t{n} * divisor.multiplier >> 32) + n) >> divisor.shift);
}
#endif

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_DIVISOR_H_
