#include "client/load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

namespace flashcore {
namespace {

constexpr int64_t kBucketsPerOctave = int64_t{1} << Histogram::kThreeDigits;
constexpr double kRelativeError = 1.0 / (2 * kBucketsPerOctave);

TEST(HistogramTest, EmptyIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_EQ(histogram.Quantile(0.5), 0);
}

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (int64_t value = 0; value < 2 * kBucketsPerOctave; ++value) histogram.Record(value);
  for (int64_t value = 0; value < 2 * kBucketsPerOctave; ++value) {
    const double quantile = static_cast<double>(value + 1) / static_cast<double>(histogram.count());
    EXPECT_EQ(histogram.Quantile(quantile), value);
  }
}

TEST(HistogramTest, EveryMagnitudeKeepsItsPrecision) {
  for (int64_t value = 1; value < int64_t{1} << (Histogram::kMaxBits - 1); value = value * 9 / 8 + 1) {
    Histogram histogram;
    histogram.Record(value);
    histogram.Record(value);
    histogram.Record(std::numeric_limits<int64_t>::max());
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.5)), static_cast<double>(value),
                kRelativeError * static_cast<double>(value));
  }
}

TEST(HistogramTest, ValuesOutOfRangeAreCounted) {
  Histogram histogram;
  histogram.Record(-5);
  histogram.Record(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(histogram.count(), 2);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  EXPECT_EQ(histogram.Quantile(1), std::numeric_limits<int64_t>::max());
}

TEST(HistogramTest, AgreesWithSorting) {
  constexpr uint64_t kSeed = 11;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  std::mt19937_64 random(kSeed);
  std::lognormal_distribution<double> latency(15, 2);
  constexpr int kValues = 200'000;
  std::vector<int64_t> values;
  Histogram histogram;
  for (int i = 0; i < kValues; ++i) {
    values.push_back(static_cast<int64_t>(latency(random)));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(quantile * kValues)) - 1;
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(quantile)), static_cast<double>(values[rank]),
                kRelativeError * static_cast<double>(values[rank]));
  }
}

TEST(HistogramTest, ThreeSignificantDigits) {
  // What the precision is named for: neighbours that differ in the third digit are told apart.
  for (const int64_t value : {123, 12'300, 1'230'000, 123'000'000}) {
    Histogram histogram;
    histogram.Record(value);
    histogram.Record(value + value / 100);
    histogram.Record(value * 2);
    EXPECT_NE(histogram.Quantile(0.3), histogram.Quantile(0.6)) << value;
  }
}

TEST(HistogramTest, CountsAbove) {
  Histogram histogram;
  for (int64_t value = 1; value <= 1000; ++value) histogram.Record(value * 1'000'000);
  EXPECT_EQ(histogram.CountAbove(0), 1000);
  EXPECT_EQ(histogram.CountAbove(500'000'000), 500);
  EXPECT_EQ(histogram.CountAbove(int64_t{1} << 50), 0);
  EXPECT_EQ(Histogram().CountAbove(0), 0);
}

TEST(HistogramTest, ClearingForgetsEverything) {
  Histogram histogram;
  histogram.Record(7);
  histogram.Clear();
  for (const int64_t value : {3, 5, 9}) histogram.Record(value);
  EXPECT_EQ(histogram.count(), 3);
  EXPECT_EQ(histogram.min(), 3);
  EXPECT_EQ(histogram.max(), 9);
  EXPECT_EQ(histogram.Quantile(1), 9);
  EXPECT_EQ(histogram.CountAbove(5), 1);
}

TEST(HistogramTest, MergingIsRecordingInOne) {
  Histogram a;
  Histogram b;
  Histogram both;
  for (int64_t value = 1; value < 1'000'000'000; value *= 3) {
    (value % 2 == 0 ? a : b).Record(value);
    both.Record(value);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.min(), both.min());
  EXPECT_EQ(a.max(), both.max());
  EXPECT_DOUBLE_EQ(a.mean(), both.mean());
  EXPECT_EQ(a.Quantile(0.7), both.Quantile(0.7));
  a.Merge(Histogram());
  EXPECT_EQ(a.count(), both.count());
}

}  // namespace
}  // namespace flashcore
