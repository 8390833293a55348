// Scalar conversions between float and the 16-bit formats, on raw bits. Round to nearest even; infinities, NaN and
// subnormals are kept. For references, tests and clients; kernels convert with the device's own instructions.
#ifndef FLASHCORE_KERNELS_BASE_FLOAT16_H_
#define FLASHCORE_KERNELS_BASE_FLOAT16_H_

#include <cstdint>

#include "kernels/attention.h"

namespace flashcore {

uint16_t FloatToHalf(float value);
float HalfToFloat(uint16_t bits);
uint16_t FloatToBfloat16(float value);
float Bfloat16ToFloat(uint16_t bits);

// Element `index` of an array of `dtype`.
float LoadElement(DType dtype, const void* data, int64_t index);
void StoreElement(DType dtype, void* data, int64_t index, float value);

}  // namespace flashcore

#endif  // FLASHCORE_KERNELS_BASE_FLOAT16_H_
