// Vector pieces of the softmax, and conversion of rows between float and the storage formats.
// Compiled once for each instruction set: include only from a file that uses foreach_target.h.
#if defined(FLASHCORE_KERNELS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHCORE_KERNELS_CPU_VECTOR_MATH_INL_H_
#undef FLASHCORE_KERNELS_CPU_VECTOR_MATH_INL_H_
#else
#define FLASHCORE_KERNELS_CPU_VECTOR_MATH_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/base/float16.h"

HWY_BEFORE_NAMESPACE();
namespace flashcore::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using Floats = hn::Vec<FloatTag>;

// x86 converts half precision in hardware from AVX2 (F16C) on.
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2
inline constexpr bool kHasHalfConversion = false;
#else
inline constexpr bool kHasHalfConversion = true;
#endif

// 2^x for x <= ~0; exactly 0 below the smallest normal float and for -inf; NaN for NaN.
// Relative error below 2.5e-7: 9.2e-8 from the polynomial (minimax on [-1/2, 1/2] with p(0) = 1), the rest rounding.
HWY_INLINE Floats Exp2(FloatTag d, Floats x) {
  // Adding this leaves round(x) + 127, the exponent field of 2^round(x), in the low bits of the sum.
  const Floats shifter = hn::Set(d, 12582912.0f + 127.0f);
  const Floats shifted = hn::Add(x, shifter);
  const Floats f = hn::Sub(x, hn::Sub(shifted, shifter));
  const hn::RebindToUnsigned<FloatTag> du;
  constexpr int kMantissaBits = 23;
  const Floats power = hn::BitCast(d, hn::ShiftLeft<kMantissaBits>(hn::BitCast(du, shifted)));

  Floats p = hn::Set(d, 0.001326472614891827f);
  p = hn::MulAdd(p, f, hn::Set(d, 0.009671512991189957f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.05550733581185341f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.24022242426872253f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.6931470036506653f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));

  const Floats smallest_exponent = hn::Set(d, -126.0f);
  return hn::IfThenZeroElse(hn::Lt(x, smallest_exponent), hn::Mul(p, power));
}

// cap * tanh(x * inv_cap).
HWY_INLINE Floats SoftCap(FloatTag d, Floats x, Floats inv_cap, Floats cap) {
  return hn::Mul(cap, hn::Tanh(d, hn::Mul(x, inv_cap)));
}

// 16-bit lanes widened to float. `Storage` is hwy::float16_t or hwy::bfloat16_t.
template <class Storage>
HWY_INLINE Floats LoadWide(FloatTag d, const uint16_t* from) {
  const hn::Rebind<uint16_t, FloatTag> d16;
  const hn::Rebind<Storage, FloatTag> storage;
  return hn::PromoteTo(d, hn::BitCast(storage, hn::LoadU(d16, from)));
}

HWY_INLINE void StoreHalf(Floats v, uint16_t* to) {
  const hn::Rebind<uint16_t, FloatTag> d16;
  const hn::Rebind<hwy::float16_t, FloatTag> storage;
  hn::StoreU(hn::BitCast(d16, hn::DemoteTo(storage, v)), d16, to);
}

// Rounds to nearest even, as Highway's own conversion does not in all versions.
HWY_INLINE void StoreBfloat16(Floats v, uint16_t* to) {
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::RebindToSigned<FloatTag> di;
  const hn::Rebind<uint16_t, FloatTag> d16;
  constexpr int kDroppedBits = 16;
  const auto bits = hn::BitCast(du, v);
  const auto lowest_kept = hn::And(hn::ShiftRight<kDroppedBits>(bits), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<kDroppedBits>(hn::Add(bits, hn::Add(lowest_kept, hn::Set(du, 0x7fffu))));
  const auto quiet_nan = hn::Or(hn::ShiftRight<kDroppedBits>(bits), hn::Set(du, 0x0040u));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(v));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, hn::IfThenElse(is_nan, quiet_nan, rounded))), d16, to);
}

// `count` elements of `dtype` from `from` become floats at `to`.
HWY_INLINE void ConvertToFloat(DType dtype, const void* from, ptrdiff_t count, float* to) {
  if (dtype == DType::kFloat32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  const FloatTag d;
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto* from16 = static_cast<const uint16_t*>(from);
  ptrdiff_t i = 0;
  if (dtype == DType::kBFloat16) {
    for (; i + lanes <= count; i += lanes) hn::StoreU(LoadWide<hwy::bfloat16_t>(d, from16 + i), d, to + i);
  } else if constexpr (kHasHalfConversion) {
    for (; i + lanes <= count; i += lanes) hn::StoreU(LoadWide<hwy::float16_t>(d, from16 + i), d, to + i);
  }
  for (; i < count; ++i) to[i] = LoadElement(dtype, from, i);
}

// The inverse, rounding to nearest even.
HWY_INLINE void ConvertFromFloat(DType dtype, const float* from, ptrdiff_t count, void* to) {
  if (dtype == DType::kFloat32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  const FloatTag d;
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  auto* to16 = static_cast<uint16_t*>(to);
  ptrdiff_t i = 0;
  if (dtype == DType::kBFloat16) {
    for (; i + lanes <= count; i += lanes) StoreBfloat16(hn::LoadU(d, from + i), to16 + i);
  } else if constexpr (kHasHalfConversion) {
    for (; i + lanes <= count; i += lanes) StoreHalf(hn::LoadU(d, from + i), to16 + i);
  }
  for (; i < count; ++i) StoreElement(dtype, to, i, from[i]);
}

// to[c][r] = from[r][c]; rows and columns are multiples of kTransposeBlock, `ld` is the distance between rows.
inline constexpr int kTransposeBlock = 4;
#if HWY_TARGET == HWY_SCALAR
inline void Transpose(const float* from, ptrdiff_t from_ld, ptrdiff_t rows, ptrdiff_t columns, float* to,
                      ptrdiff_t to_ld) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t c = 0; c < columns; ++c) to[c * to_ld + r] = from[r * from_ld + c];
  }
}
#else
HWY_INLINE void TransposeBlock(const float* HWY_RESTRICT from, ptrdiff_t from_ld, float* HWY_RESTRICT to,
                               ptrdiff_t to_ld) {
  const hn::Full128<float> d;
  const auto row0 = hn::LoadU(d, from);
  const auto row1 = hn::LoadU(d, from + from_ld);
  const auto row2 = hn::LoadU(d, from + 2 * from_ld);
  const auto row3 = hn::LoadU(d, from + 3 * from_ld);
  const auto low01 = hn::InterleaveLower(d, row0, row1);
  const auto high01 = hn::InterleaveUpper(d, row0, row1);
  const auto low23 = hn::InterleaveLower(d, row2, row3);
  const auto high23 = hn::InterleaveUpper(d, row2, row3);
  hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, to);
  hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, to + to_ld);
  hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * to_ld);
  hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * to_ld);
}

HWY_INLINE void Transpose(const float* from, ptrdiff_t from_ld, ptrdiff_t rows, ptrdiff_t columns, float* to,
                          ptrdiff_t to_ld) {
  for (ptrdiff_t r = 0; r < rows; r += kTransposeBlock) {
    for (ptrdiff_t c = 0; c < columns; c += kTransposeBlock) {
      TransposeBlock(from + r * from_ld + c, from_ld, to + c * to_ld + r, to_ld);
    }
  }
}
#endif

}  // namespace flashcore::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FLASHCORE_KERNELS_CPU_VECTOR_MATH_INL_H_
