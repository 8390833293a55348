#include "kernels/base/float16.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace flashcore {
namespace {

constexpr uint32_t kFloatSignBit = 0x80000000u;
constexpr uint32_t kFloatInfinity = 0x7f800000u;
constexpr uint32_t kFloatMantissaBits = 23;

constexpr uint32_t kHalfMantissaBits = 10;
constexpr uint32_t kHalfExponentBias = 15;
constexpr uint32_t kFloatExponentBias = 127;
constexpr uint16_t kHalfSignBit = 0x8000u;
constexpr uint16_t kHalfInfinity = 0x7c00u;
constexpr uint16_t kHalfMantissaMask = 0x03ffu;
constexpr uint16_t kHalfQuietBit = 0x0200u;

constexpr uint32_t kSignShift = 16;
constexpr uint32_t kMantissaShift = kFloatMantissaBits - kHalfMantissaBits;
constexpr uint32_t kExponentRebias = kFloatExponentBias - kHalfExponentBias;
// Half an ulp above the largest half: from here on, round to nearest even gives infinity.
constexpr float kHalfOverflow = 65520.0f;
// The smallest normal half; below it halves are evenly spaced.
constexpr float kHalfSmallestNormal = 6.103515625e-05f;
constexpr float kHalfSubnormalStep = 5.9604644775390625e-08f;

constexpr uint16_t kBfloat16QuietBit = 0x0040u;

uint32_t BitsOf(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FloatOf(uint32_t bits) {
  float value = 0.0f;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Drops the low `shift` bits, rounding to nearest even. A carry into the exponent is what rounding up means.
uint32_t ShiftRoundingToEven(uint32_t bits, uint32_t shift) {
  const uint32_t kept_lowest_bit = (bits >> shift) & 1u;
  const uint32_t just_below_half = (1u << (shift - 1)) - 1u;
  return (bits + just_below_half + kept_lowest_bit) >> shift;
}

}  // namespace

uint16_t FloatToHalf(float value) {
  const uint32_t bits = BitsOf(value);
  const auto sign = static_cast<uint16_t>((bits & kFloatSignBit) >> kSignShift);
  const uint32_t magnitude_bits = bits & ~kFloatSignBit;
  const float magnitude = FloatOf(magnitude_bits);
  if (magnitude_bits > kFloatInfinity) {
    const uint32_t payload = (magnitude_bits >> kMantissaShift) & kHalfMantissaMask;
    return static_cast<uint16_t>(sign | kHalfInfinity | kHalfQuietBit | payload);
  }
  if (magnitude >= kHalfOverflow) return sign | kHalfInfinity;
  if (magnitude < kHalfSmallestNormal) {
    // The quotient is exact and nearbyint rounds to even; 1024 steps are the smallest normal's own bits.
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude / kHalfSubnormalStep)));
  }
  const uint32_t rebiased = magnitude_bits - (kExponentRebias << kFloatMantissaBits);
  return static_cast<uint16_t>(sign | ShiftRoundingToEven(rebiased, kMantissaShift));
}

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & kHalfSignBit) << kSignShift;
  const uint32_t magnitude = bits & ~static_cast<uint32_t>(kHalfSignBit);
  if (magnitude >= kHalfInfinity) {
    return FloatOf(sign | kFloatInfinity | ((magnitude & kHalfMantissaMask) << kMantissaShift));
  }
  if (magnitude <= kHalfMantissaMask) {
    const float subnormal = static_cast<float>(magnitude) * kHalfSubnormalStep;
    return FloatOf(sign | BitsOf(subnormal));
  }
  return FloatOf(sign | ((magnitude << kMantissaShift) + (kExponentRebias << kFloatMantissaBits)));
}

uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = BitsOf(value);
  constexpr uint32_t kShift = 16;
  if ((bits & ~kFloatSignBit) > kFloatInfinity) return static_cast<uint16_t>((bits >> kShift) | kBfloat16QuietBit);
  return static_cast<uint16_t>(ShiftRoundingToEven(bits, kShift));
}

float Bfloat16ToFloat(uint16_t bits) {
  constexpr uint32_t kShift = 16;
  return FloatOf(static_cast<uint32_t>(bits) << kShift);
}

float LoadElement(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kFloat16:
      return HalfToFloat(static_cast<const uint16_t*>(data)[index]);
    case DType::kBFloat16:
      return Bfloat16ToFloat(static_cast<const uint16_t*>(data)[index]);
    case DType::kFloat32:
      return static_cast<const float*>(data)[index];
  }
  return std::numeric_limits<float>::quiet_NaN();
}

void StoreElement(DType dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case DType::kFloat16:
      static_cast<uint16_t*>(data)[index] = FloatToHalf(value);
      return;
    case DType::kBFloat16:
      static_cast<uint16_t*>(data)[index] = FloatToBfloat16(value);
      return;
    case DType::kFloat32:
      static_cast<float*>(data)[index] = value;
      return;
  }
}

}  // namespace flashcore
