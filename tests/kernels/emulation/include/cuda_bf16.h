// Stands in for CUDA's header of this name: as much of it as the kernels use.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_BF16_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_BF16_H_

#include "tests/kernels/emulation/warp.h"

using __nv_bfloat16 = flashcore::emulation::Bfloat16;
using __nv_bfloat162 = flashcore::emulation::PairOf<__nv_bfloat16>;

inline float __bfloat162float(__nv_bfloat16 value) { return value.ToFloat(); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __nv_bfloat16::From(value); }
inline bool __hbeq2(__nv_bfloat162 a, __nv_bfloat162 b) { return flashcore::emulation::Equal(a, b); }

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_BF16_H_
