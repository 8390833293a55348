#include <gtest/gtest.h>

#include "bench/rpc/samples.h"

namespace flashcore::bench {
namespace {

Sample MakeSample(double requests_per_s, double p50_us) {
  Sample sample;
  sample.answered = 10;
  sample.requests_per_s = requests_per_s;
  sample.p50_us = p50_us;
  sample.p99_us = 2 * p50_us;
  return sample;
}

TEST(RpcSamples, QuantilesLieBetweenNeighbours) {
  EXPECT_EQ(Quantile({}, 0.5), 0);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({4, 2}, 0.25), 2.5);
  EXPECT_EQ(Quantile({4, 2}, 1), 4);
}

TEST(RpcSamples, ReduceToMedians) {
  std::vector<Sample> samples = {MakeSample(100, 10), MakeSample(300, 30), MakeSample(200, 50)};
  EXPECT_FALSE(Reduce(samples).server_cpu_us.has_value());
  samples[1].server_cpu_us = 7;
  samples[2].failed = 2;
  const Medians medians = Reduce(samples);
  EXPECT_EQ(medians.answered, 30);
  EXPECT_EQ(medians.failed, 2);
  EXPECT_EQ(medians.requests_per_s, 200);
  EXPECT_EQ(medians.p50_us, 30);
  EXPECT_EQ(medians.least_p50_us, 10);
  EXPECT_EQ(medians.greatest_p50_us, 50);
  EXPECT_EQ(medians.server_cpu_us, 7);
}

// The machine is twice as slow in the second repetition, for both: pairs say so, medians of each would not.
TEST(RpcSamples, CompareRepetitionByRepetition) {
  const std::vector<Sample> baseline = {MakeSample(100, 10), MakeSample(50, 20), MakeSample(100, 10)};
  const std::vector<Sample> samples = {MakeSample(90, 15), MakeSample(45, 25), MakeSample(80, 11)};
  const Comparison comparison = Compare(samples, baseline);
  EXPECT_DOUBLE_EQ(comparison.share, 0.9);
  EXPECT_DOUBLE_EQ(comparison.p50_diff_us, 5);
}

}  // namespace
}  // namespace flashcore::bench
