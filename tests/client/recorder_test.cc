#include "client/load/recorder.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

void RecordAnswers(Recorder& recorder, int count, int64_t latency_ms) {
  for (int i = 0; i < count; ++i) recorder.Record({.ended_ns = latency_ms * kMs}, 0, {}, {});
}

TEST(RecorderTest, RecentIsWhatCameSinceTheLastLook) {
  Recorder recorder(4);
  RecordAnswers(recorder, 90, 1);
  RecordAnswers(recorder, 10, 50);
  const RecentCalls first = recorder.TakeRecent();
  EXPECT_EQ(first.answered, 100);
  EXPECT_NEAR(static_cast<double>(first.p50_ns), 1 * kMs, 0.1 * kMs);
  EXPECT_NEAR(static_cast<double>(first.p99_ns), 50 * kMs, 5 * kMs);
  RecordAnswers(recorder, 3, 2);
  EXPECT_EQ(recorder.TakeRecent().answered, 3);
  EXPECT_EQ(recorder.TakeRecent().answered, 0);
  EXPECT_EQ(recorder.Merged().answered(), 103);
}

TEST(RecorderTest, FailuresAreNotRecentAnswers) {
  Recorder recorder(1);
  CallOutcome failed;
  failed.status = absl::UnavailableError("gone");
  recorder.Record({}, 0, {}, failed);
  EXPECT_EQ(recorder.TakeRecent().answered, 0);
  EXPECT_EQ(recorder.Merged().failed(), 1);
}

TEST(RecorderTest, CountsChecks) {
  Recorder recorder(2);
  recorder.CountCheckSkipped();
  for (int i = 0; i < 2; ++i) recorder.CountCheckWait();
  EXPECT_EQ(recorder.Merged().check_skipped, 1);
  EXPECT_EQ(recorder.Merged().check_waits, 2);
}

}  // namespace
}  // namespace flashcore
