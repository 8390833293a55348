#include "server/telemetry/slow_log.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/logging.h"
#include "tests/server/telemetry/simulated_clock.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kNsPerSecond = 1'000'000'000;

std::string Written(SlowLog& log, int requests) {
  SetUpLogging(LogLevel::kInfo, LogFormat::kText);
  CallRecord record = {.method = Method::kAttendStream,
                       .code = absl::StatusCode::kDeadlineExceeded,
                       .stages = {},
                       .total_ns = 36 * kNsPerMs,
                       .bytes_in = 7,
                       .bytes_out = 0};
  for (size_t stage = 0; stage < kNumStages; ++stage)
    record.stages.ns[stage] = static_cast<int64_t>(stage + 1) * kNsPerMs;
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < requests; ++i) {
    log.Write(record, {.shape = "1,8,2,16,32,64", .batch_requests = 3, .request_id = 9, .traceparent = "00-ab-cd-01"});
  }
  return ::testing::internal::GetCapturedStderr();
}

TEST(SlowLogTest, ALineTellsEveryStage) {
  const SimulatedClock clock;
  SlowLog log(kNsPerMs, clock);
  EXPECT_THAT(Written(log, 1),
              HasSubstr("level=warning msg=slow_request method=AttendStream code=DEADLINE_EXCEEDED total_us=36000 "
                        "receive_us=1000 admit_us=2000 stage_us=3000 queue_us=4000 upload_us=5000 compute_us=6000 "
                        "download_us=7000 send_us=8000 bytes_in=7 bytes_out=0 shape=1,8,2,16,32,64 batch_requests=3 "
                        "request_id=9 traceparent=00-ab-cd-01 not_logged=0\n"));
}

TEST(SlowLogTest, TheThresholdIsSlowAndZeroTurnsItOff) {
  const SimulatedClock clock;
  const SlowLog log(5, clock);
  EXPECT_TRUE(log.enabled());
  EXPECT_FALSE(log.IsSlow(4));
  EXPECT_TRUE(log.IsSlow(5));
  const SlowLog off(0, clock);
  EXPECT_FALSE(off.enabled());
  EXPECT_FALSE(off.IsSlow(kNsPerSecond));
}

TEST(SlowLogTest, ASecondHasAFewLinesAndTheNextOneSaysWhatWasLeftOut) {
  SimulatedClock clock;
  SlowLog log(kNsPerMs, clock);
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_EQ(lines(Written(log, SlowLog::kMostPerSecond + 4)), SlowLog::kMostPerSecond);
  clock.AdvanceNs(kNsPerSecond);
  const std::string next = Written(log, 2);
  EXPECT_THAT(next, HasSubstr("not_logged=4\n"));
  EXPECT_THAT(next, HasSubstr("not_logged=0\n"));
}

}  // namespace
}  // namespace flashcore
