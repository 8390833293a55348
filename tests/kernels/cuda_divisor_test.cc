#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>

#include "kernels/cuda/divisor.h"

namespace flashcore::cuda {
namespace {

constexpr int32_t kMax = std::numeric_limits<int32_t>::max();

void ExpectQuotient(int32_t dividend, int32_t value) {
  ASSERT_EQ(Quotient(dividend, MakeDivisor(value)), dividend / value) << dividend << " / " << value;
}

TEST(CudaDivisorTest, AroundMultiples) {
  for (const int32_t value :
       {1, 2, 3, 5, 7, 8, 12, 58, 132, 641, 65535, 65536, 65537, 1 << 29, 1 << 30, kMax - 1, kMax}) {
    for (int64_t multiple = 0; multiple <= kMax; multiple += int64_t{value} * (1 + kMax / value / 1000)) {
      for (const int64_t dividend : {multiple - 1, multiple, multiple + 1}) {
        if (dividend >= 0 && dividend <= kMax) ExpectQuotient(static_cast<int32_t>(dividend), value);
      }
    }
    ExpectQuotient(kMax, value);
  }
}

TEST(CudaDivisorTest, AnyPair) {
  constexpr uint32_t kSeed = 20261122;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  std::uniform_int_distribution<int32_t> dividends(0, kMax);
  std::uniform_int_distribution<int> bits(0, 30);
  for (int i = 0; i < 200000; ++i) ExpectQuotient(dividends(random), (dividends(random) >> bits(random)) | 1);
}

}  // namespace
}  // namespace flashcore::cuda
