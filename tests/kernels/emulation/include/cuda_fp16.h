// Stands in for CUDA's header of this name: as much of it as the kernels use.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_FP16_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_FP16_H_

#include "tests/kernels/emulation/warp.h"

using __half = flashcore::emulation::Half;
using __half2 = flashcore::emulation::PairOf<__half>;

inline float __half2float(__half value) { return value.ToFloat(); }
inline __half __float2half_rn(float value) { return __half::From(value); }
inline bool __hbeq2(__half2 a, __half2 b) { return flashcore::emulation::Equal(a, b); }

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_FP16_H_
