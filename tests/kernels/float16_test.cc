#include "kernels/base/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace flashcore {
namespace {

constexpr uint32_t kAllPatterns = 0x10000;

TEST(Float16Test, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t pattern = 0; pattern < kAllPatterns; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const float value = HalfToFloat(bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value)))) << pattern;
    } else {
      EXPECT_EQ(FloatToHalf(value), bits) << pattern;
    }
  }
}

TEST(Float16Test, EveryBfloat16SurvivesTheRoundTrip) {
  for (uint32_t pattern = 0; pattern < kAllPatterns; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const float value = Bfloat16ToFloat(bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(Bfloat16ToFloat(FloatToBfloat16(value)))) << pattern;
    } else {
      EXPECT_EQ(FloatToBfloat16(value), bits) << pattern;
    }
  }
}

// Between two neighbours the midpoint goes to the even one, and what is nearer goes to what it is nearer to.
template <typename ToBits, typename ToFloat>
void ExpectRoundsToNearestEven(uint16_t largest, ToBits to_bits, ToFloat to_float) {
  for (uint32_t low = 0; low < largest; ++low) {
    const float a = to_float(static_cast<uint16_t>(low));
    const float b = to_float(static_cast<uint16_t>(low + 1));
    const float middle = a + (b - a) / 2;
    const uint32_t even = low % 2 == 0 ? low : low + 1;
    EXPECT_EQ(to_bits(middle), even) << low;
    EXPECT_EQ(to_bits(std::nextafter(middle, a)), low) << low;
    EXPECT_EQ(to_bits(std::nextafter(middle, b)), low + 1) << low;
    EXPECT_EQ(to_bits(-middle), 0x8000u | even) << low;
  }
}

TEST(Float16Test, HalfRoundsToNearestEven) {
  constexpr uint16_t kLargest = 0x7bff;
  ExpectRoundsToNearestEven(kLargest, FloatToHalf, HalfToFloat);
}

TEST(Float16Test, Bfloat16RoundsToNearestEven) {
  // From the first normal number on: below it the midpoints are not exact in float.
  constexpr uint16_t kLargest = 0x7f7f;
  for (uint32_t low = 0x0080; low < kLargest; ++low) {
    const float a = Bfloat16ToFloat(static_cast<uint16_t>(low));
    const float middle = a + (Bfloat16ToFloat(static_cast<uint16_t>(low + 1)) - a) / 2;
    EXPECT_EQ(FloatToBfloat16(middle), low % 2 == 0 ? low : low + 1) << low;
  }
}

TEST(Float16Test, KnownValues) {
  EXPECT_EQ(FloatToHalf(1.0f), 0x3c00);
  EXPECT_EQ(FloatToHalf(-2.0f), 0xc000);
  EXPECT_EQ(FloatToHalf(65504.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65519.996f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
  EXPECT_EQ(HalfToFloat(0x0001), 5.9604644775390625e-08f);
  EXPECT_EQ(FloatToBfloat16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBfloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(Bfloat16ToFloat(0xff80), -std::numeric_limits<float>::infinity());
}

TEST(Float16Test, LoadsAndStoresByDtype) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    float storage[2] = {0.0f, 0.0f};
    StoreElement(dtype, storage, 1, -1.5f);
    EXPECT_EQ(LoadElement(dtype, storage, 1), -1.5f);
    EXPECT_EQ(LoadElement(dtype, storage, 0), 0.0f);
  }
}

}  // namespace
}  // namespace flashcore
