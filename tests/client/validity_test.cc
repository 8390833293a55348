#include "client/load/validity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMs = 1'000'000;

// 10,000 calls of 20 ms in 10 s, on a client with nothing else to do.
RunResult QuietRun() {
  RunResult result;
  for (int i = 0; i < 10'000; ++i) {
    result.stats.Record({.intended_ns = i * kMs, .sent_ns = i * kMs, .ended_ns = (i + 20) * kMs}, 0, {}, {});
  }
  result.client = {.wall_s = 10, .cpu_s = 4, .cores = 4, .busiest_thread_s = 3};
  for (int i = 0; i < 1000; ++i) result.client.wake_delay.Record(60'000);
  return result;
}

// A call sent `delay_ms` late.
void AddLate(RunResult& result, int count, int64_t delay_ms, bool held_back) {
  for (int i = 0; i < count; ++i) {
    result.stats.Record(
        {.intended_ns = 0, .sent_ns = delay_ms * kMs, .ended_ns = (delay_ms + 1) * kMs, .held_back = held_back}, 0, {},
        {});
  }
}

const RunOptions kOpen{.rate = 1000};
const RunOptions kClosed{.concurrency = 16};

TEST(ValidityTest, AQuietClientIsValid) {
  EXPECT_THAT(Judge(kOpen, QuietRun()).reasons, IsEmpty());
  EXPECT_THAT(Judge(kOpen, QuietRun()).notes, IsEmpty());
}

TEST(ValidityTest, LateSendsInvalidateAnOpenLoop) {
  RunResult result = QuietRun();
  AddLate(result, 90, 5, false);
  EXPECT_THAT(Judge(kOpen, result).reasons, IsEmpty());  // Below one in a hundred.
  AddLate(result, 90, 5, false);
  EXPECT_THAT(Judge(kOpen, result).reasons, ElementsAre(HasSubstr("late sends")));
  EXPECT_THAT(Judge(kClosed, result).reasons, IsEmpty());
}

TEST(ValidityTest, ADelayThatDoesNotShowInTheResultIsBearable) {
  RunResult result = QuietRun();
  AddLate(result, 1000, 1, false);  // A twentieth of p99.
  EXPECT_THAT(Judge(kOpen, result).reasons, IsEmpty());
}

TEST(ValidityTest, WhatTheServerHeldBackIsANote) {
  RunResult result = QuietRun();
  AddLate(result, 5000, 500, true);
  result.unsent = 7;
  const Validity validity = Judge(kOpen, result);
  EXPECT_TRUE(validity.valid());
  EXPECT_THAT(validity.notes, ElementsAre(HasSubstr("did not keep up"), HasSubstr("never sent")));
  EXPECT_NEAR(HeldBackShare(result), 5007.0 / 15007, 1e-9);
}

TEST(ValidityTest, AClientThatUsedItsCoresWasTheLimit) {
  RunResult result = QuietRun();
  result.client.cpu_s = 37;
  EXPECT_THAT(Judge(kClosed, result).reasons, ElementsAre(HasSubstr("client CPU")));
}

TEST(ValidityTest, OneBusyThreadWasTheLimit) {
  RunResult result = QuietRun();
  result.client.busiest_thread_s = 9.7;
  EXPECT_THAT(Judge(kClosed, result).reasons, ElementsAre(HasSubstr("busy thread")));
}

TEST(ValidityTest, AStarvedClientMeasuredItsOwnWaiting) {
  RunResult result = QuietRun();
  for (int i = 0; i < 100; ++i) result.client.wake_delay.Record(4 * kMs);
  EXPECT_THAT(Judge(kClosed, result).reasons, IsEmpty());  // A fifth of p99.
  for (int i = 0; i < 100; ++i) result.client.wake_delay.Record(8 * kMs);
  EXPECT_THAT(Judge(kClosed, result).reasons, ElementsAre(HasSubstr("starved")));
}

TEST(ValidityTest, AFewLateWakesAreNoPercentile) {
  RunResult result = QuietRun();
  result.client.wake_delay.Clear();
  for (int i = 0; i < 49; ++i) result.client.wake_delay.Record(8 * kMs);
  EXPECT_THAT(Judge(kClosed, result).reasons, IsEmpty());
  result.client.wake_delay.Record(8 * kMs);
  EXPECT_THAT(Judge(kClosed, result).reasons, ElementsAre(HasSubstr("starved")));
}

TEST(ValidityTest, AHundredAnswersHaveATail) {
  RunResult result;
  for (int i = 0; i < 100; ++i) result.stats.Record({.ended_ns = kMs}, 0, {}, {});
  result.client = {.wall_s = 10, .cpu_s = 1, .cores = 4};
  EXPECT_THAT(Judge(kClosed, result).notes, IsEmpty());
}

TEST(ValidityTest, AShortRunSaysSo) {
  RunResult result;
  result.stats.Record({.intended_ns = 0, .sent_ns = 0, .ended_ns = kMs}, 0, {}, {});
  result.client.wall_s = 0.01;
  result.client.cpu_s = 0.04;
  const Validity validity = Judge(kClosed, result);
  EXPECT_TRUE(validity.valid());
  EXPECT_THAT(validity.notes, ElementsAre(HasSubstr("too short"), HasSubstr("only 1 answers")));
}

}  // namespace
}  // namespace flashcore
