#include "client/load/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace flashcore {
namespace {

constexpr int64_t kStartNs = 1'000'000'007;

std::vector<int64_t> Take(const ArrivalOptions& options, int count) {
  Arrivals arrivals(options, kStartNs);
  std::vector<int64_t> due_ns;
  for (int i = 0; i < count; ++i) due_ns.push_back(arrivals.NextNs());
  return due_ns;
}

TEST(ArrivalsTest, ConstantArrivalsDoNotDrift) {
  // A third of a second is no whole number of nanoseconds.
  const std::vector<int64_t> due_ns = Take({.rate = 3}, 3'000'001);
  EXPECT_EQ(due_ns[0], kStartNs);
  EXPECT_EQ(due_ns[1] - kStartNs, 333'333'333);
  EXPECT_EQ(due_ns[3'000'000] - kStartNs, int64_t{1'000'000} * 1'000'000'000);
}

TEST(ArrivalsTest, SendersShareTheConstantSchedule) {
  const std::vector<int64_t> whole = Take({.rate = 700}, 300);
  std::vector<int64_t> dealt;
  for (int sender = 0; sender < 3; ++sender) {
    const std::vector<int64_t> share = Take({.rate = 700, .sender = sender, .senders = 3}, 100);
    dealt.insert(dealt.end(), share.begin(), share.end());
  }
  std::sort(dealt.begin(), dealt.end());
  EXPECT_EQ(dealt, whole);
}

TEST(ArrivalsTest, PoissonGapsHaveTheRatesMeanAndDeviation) {
  constexpr uint64_t kSeed = 17;
  constexpr int kCount = 200'000;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const std::vector<int64_t> due_ns =
      Take({.kind = ArrivalKind::kPoisson, .rate = 2000, .seed = kSeed, .senders = 2}, kCount);
  double sum = 0;
  double squares = 0;
  for (int i = 1; i < kCount; ++i) {
    ASSERT_GE(due_ns[i], due_ns[i - 1]);
    const auto gap_ms = static_cast<double>(due_ns[i] - due_ns[i - 1]) / 1e6;
    sum += gap_ms;
    squares += gap_ms * gap_ms;
  }
  // One of two senders has half of the rate; an exponential's deviation is its mean.
  const double mean = sum / (kCount - 1);
  EXPECT_NEAR(mean, 1.0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / (kCount - 1) - mean * mean), 1.0, 0.03);
}

TEST(ArrivalsTest, SeedsAndSendersMakeSchedulesOfTheirOwn) {
  const ArrivalOptions options{.kind = ArrivalKind::kPoisson, .rate = 100, .seed = 5, .senders = 2};
  ArrivalOptions other_seed = options;
  other_seed.seed = 6;
  ArrivalOptions other_sender = options;
  other_sender.sender = 1;
  EXPECT_EQ(Take(options, 50), Take(options, 50));
  EXPECT_NE(Take(options, 50), Take(other_seed, 50));
  EXPECT_NE(Take(options, 50), Take(other_sender, 50));
}

}  // namespace
}  // namespace flashcore
