// Stands in for kernels/cuda/ptx.cuh: the same functions, which do on a host what their instructions do.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_KERNELS_CUDA_PTX_CUH_
#define FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_KERNELS_CUDA_PTX_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "tests/kernels/emulation/cta.h"
#include "tests/kernels/emulation/warp.h"

namespace flashcore::cuda {

inline constexpr int kWarpSize = static_cast<int>(emulation::kLanes);
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;
inline constexpr int kVectorBytes = 16;

inline int ThreadIndex() { return emulation::ThreadIndex(); }

inline uint32_t SharedAddress(const void* shared) { return emulation::SharedAddressOf(shared); }

inline void CopyAsync(uint32_t shared, const void* global, bool valid) {
  emulation::IssueCopy(shared, valid ? global : nullptr);
}

inline void CommitCopies() { emulation::CommitCopies(); }

template <int kPending>
void WaitForCopies() {
  emulation::WaitForCopies(kPending);
}

template <int kThreads>
void BarrierOf(int id) {
  emulation::Barrier(id, kThreads, /*predicate=*/false);
}

using emulation::Exp2;
using emulation::LoadMatrices;
using emulation::LoadMatricesTransposed;
using emulation::MultiplyAccumulate;

template <typename Word>
Word Opaque(Word x) {
  static_assert(sizeof(x) == sizeof(uint32_t));
  return x;
}

template <typename T>
uint32_t Pack(float low, float high) {
  return T::From(low).bits | uint32_t{T::From(high).bits} << 16U;
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_KERNELS_CUDA_PTX_CUH_
