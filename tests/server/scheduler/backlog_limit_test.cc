#include "server/scheduler/backlog_limit.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kPlaces = 1024;
constexpr int64_t kMany = BacklogLimit::kOverloadRequests;
constexpr double kRequestNs = 5.0 * kMs;

class BacklogLimitTest : public testing::Test {
 protected:
  static BacklogLimit Adaptive(int64_t lanes = 1) { return {/*fixed_ns=*/0, lanes}; }

  // One request has the server to itself for `took_ns`.
  void Alone(BacklogLimit& limit, int64_t took_ns) {
    limit.Joined(0, now_ns_);
    now_ns_ += took_ns;
    limit.Computed(now_ns_);
  }
  bool Admits(BacklogLimit& limit, int64_t unfinished, Priority priority = Priority::kNormal) const {
    return limit.Admits(priority, unfinished, kRequestNs, now_ns_);
  }
  // How many get in, one after the other, while nothing is answered.
  int64_t Depth(BacklogLimit& limit, Priority priority = Priority::kNormal) const {
    int64_t unfinished = 0;
    while (unfinished < kPlaces && Admits(limit, unfinished, priority)) ++unfinished;
    return unfinished;
  }
  void Overload(BacklogLimit& limit) const { EXPECT_FALSE(Admits(limit, kMany)); }

  int64_t now_ns_ = 0;
};

TEST_F(BacklogLimitTest, CallersThatWaitAreNoOverload) {
  BacklogLimit limit = Adaptive();
  Alone(limit, 10 * kMs);
  EXPECT_EQ(Depth(limit), kMany) << "a long backlog of many requests";
}

TEST_F(BacklogLimitTest, ManyShortRequestsAreNoOverload) {
  BacklogLimit limit = Adaptive();
  const double short_ns = static_cast<double>(BacklogLimit::kOverloadNs) / kPlaces / 2;
  EXPECT_TRUE(limit.Admits(Priority::kNormal, kPlaces - 1, short_ns, now_ns_));
}

TEST_F(BacklogLimitTest, FewRequestsAreAnOverloadOnceTheyTakeVeryLong) {
  constexpr int64_t kFew = BacklogLimit::kLongOverloadRequests;
  const double just_long_ns = static_cast<double>(BacklogLimit::kLongOverloadNs) / kFew;
  for (const double request_ns : {0.9 * just_long_ns, 1.1 * just_long_ns}) {
    BacklogLimit limit = Adaptive();
    Alone(limit, static_cast<int64_t>(request_ns));
    EXPECT_TRUE(limit.Admits(Priority::kNormal, kFew - 1, 10 * request_ns, now_ns_)) << "callers that wait";
    EXPECT_EQ(limit.Admits(Priority::kNormal, kFew, request_ns, now_ns_), request_ns < just_long_ns);
  }
}

TEST_F(BacklogLimitTest, NothingIsRefusedBeforeAnythingIsMeasured) {
  BacklogLimit limit = Adaptive();
  EXPECT_TRUE(limit.Admits(Priority::kNormal, kPlaces, /*time_per_request_ns=*/0, now_ns_));
}

TEST_F(BacklogLimitTest, AnOverloadedServerHoldsTwiceTheTimeOfALonelyRequest) {
  BacklogLimit limit = Adaptive();
  Alone(limit, 25 * kMs);
  Overload(limit);
  EXPECT_EQ(Depth(limit), 9) << "of 5 ms each, in 50 ms less what is kept for high priorities";
  EXPECT_EQ(Depth(limit, Priority::kHigh), 10);
  EXPECT_EQ(Depth(limit, Priority::kLow), 5);
}

TEST_F(BacklogLimitTest, ALaneNeverWaitsForWork) {
  for (const int64_t lanes : {1, 2, 6}) {
    BacklogLimit limit = Adaptive(lanes);
    Alone(limit, 1);
    Overload(limit);
    EXPECT_EQ(Depth(limit), lanes == 1 ? 2 : lanes) << "one is computed, and one comes";
  }
}

TEST_F(BacklogLimitTest, SomeMillisecondsAreNeverTooMuch) {
  BacklogLimit limit = Adaptive();
  Alone(limit, BacklogLimit::kLeastNs / 20);
  Overload(limit);
  const double short_ns = static_cast<double>(BacklogLimit::kLeastNs) / 20;
  EXPECT_TRUE(limit.Admits(Priority::kHigh, 19, short_ns, now_ns_));
  EXPECT_FALSE(limit.Admits(Priority::kHigh, 20, short_ns, now_ns_));
}

TEST_F(BacklogLimitTest, OverloadEndsWhenNobodyWasRefusedForASecond) {
  BacklogLimit limit = Adaptive();
  Alone(limit, 10 * kMs);
  Overload(limit);
  now_ns_ += BacklogLimit::kCalmNs - 1;
  EXPECT_FALSE(Admits(limit, 3)) << "and so it goes on";
  now_ns_ += BacklogLimit::kCalmNs - 1;
  EXPECT_FALSE(Admits(limit, 3));
  now_ns_ += BacklogLimit::kCalmNs;
  EXPECT_EQ(Depth(limit), kMany);
}

TEST_F(BacklogLimitTest, OnlyARequestThatWasAloneAllTheTimeIsLonely) {
  BacklogLimit limit = Adaptive();
  Alone(limit, 25 * kMs);
  limit.Joined(0, now_ns_);
  limit.Joined(1, now_ns_);
  now_ns_ += 1000 * kMs;
  limit.Computed(now_ns_);
  limit.Computed(now_ns_);
  Overload(limit);
  EXPECT_EQ(Depth(limit), 9);
}

TEST_F(BacklogLimitTest, TheTimeOfALonelyRequestFollowsWhatComes) {
  BacklogLimit limit = Adaptive();
  Alone(limit, 25 * kMs);
  for (int i = 0; i < 64; ++i) Alone(limit, 25 * kMs / 2);
  Overload(limit);
  EXPECT_EQ(Depth(limit), 4);
}

TEST_F(BacklogLimitTest, AFixedLimitHoldsAtAllTimes) {
  BacklogLimit limit(/*fixed_ns=*/50 * kMs, /*lanes=*/1);
  EXPECT_EQ(Depth(limit), 9);
  EXPECT_EQ(Depth(limit, Priority::kHigh), 10);
  BacklogLimit narrow(/*fixed_ns=*/1, /*lanes=*/3);
  EXPECT_EQ(Depth(narrow), 1) << "a server without any takes one";
}

}  // namespace
}  // namespace flashcore
