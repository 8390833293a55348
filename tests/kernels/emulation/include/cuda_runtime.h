// Stands in for CUDA's header of this name, and for what nvcc knows by itself: as much as the fused kernels use.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_H_

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "tests/kernels/emulation/cta.h"
#include "tests/kernels/emulation/warp.h"

#define __global__
#define __device__
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// A host thread runs one CTA at a time.
#define __shared__ thread_local

namespace flashcore::cuda {
// Kernels declare it within functions, where compilers would not see that it needs no constructor.
extern constinit __shared__ __align__(128) unsigned char shared[];
}  // namespace flashcore::cuda

template <int (*kNow)()>
struct EmulatedIndex {
  struct Value {
    operator unsigned() const { return static_cast<unsigned>(kNow()); }
  };
  Value x;
};
inline constexpr EmulatedIndex<&flashcore::emulation::ThreadIndex> threadIdx;
inline constexpr EmulatedIndex<&flashcore::emulation::BlockIndex> blockIdx;
inline constexpr EmulatedIndex<&flashcore::emulation::BlockDimension> blockDim;
inline constexpr EmulatedIndex<&flashcore::emulation::GridDimension> gridDim;

struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};
struct uint4 {
  unsigned x, y, z, w;
};

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline bool __syncthreads_or(bool predicate) {
  return flashcore::emulation::Barrier(0, flashcore::emulation::BlockDimension(), predicate);
}
inline void __syncthreads() { __syncthreads_or(false); }
inline void __syncwarp() { flashcore::emulation::SyncWarp(); }
// Of whole warps: their kernels never let part of one go ahead.
template <typename Word>
Word __shfl_xor_sync(unsigned /*all_lanes*/, Word value, int distance) {
  return std::bit_cast<Word>(flashcore::emulation::ShuffleXor(std::bit_cast<uint32_t>(value), distance));
}
inline bool __any_sync(unsigned /*all_lanes*/, bool vote) { return flashcore::emulation::Ballot(vote) != 0; }
inline bool __all_sync(unsigned all_lanes, bool vote) { return flashcore::emulation::Ballot(vote) == all_lanes; }

// CTAs run one after the other.
inline void __threadfence() {}
inline unsigned atomicAdd(unsigned* counter, unsigned value) {
  const unsigned old = *counter;
  *counter += value;
  return old;
}

// Divisors beyond 2^126 are infinite to it.
inline float __fdividef(float dividend, float divisor) {
  constexpr float kLargest = 0x1p126F;
  return std::abs(divisor) > kLargest ? dividend / INFINITY : dividend / divisor;
}
inline float __log2f(float x) { return std::log2(x); }

struct dim3 {
  dim3() = default;
  explicit dim3(unsigned size) : x(size) {}
  unsigned x = 1;
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* /*kernel*/, cudaFuncAttribute /*attribute*/, int /*value*/) {
  return cudaSuccess;
}
template <typename... Parameters>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Parameters&... arguments) {
  flashcore::emulation::RunGrid(static_cast<int>(config->gridDim.x), static_cast<int>(config->blockDim.x),
                                config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_H_
