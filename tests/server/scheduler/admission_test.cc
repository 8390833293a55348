// The bounds: what is turned away, with which words, and how places and memory come back.
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/backlog_limit.h"
#include "server/scheduler/retry_hint.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

class AdmissionTest : public SchedulerFixture {};

TEST_F(AdmissionTest, QueueBoundCountsWhatIsStagedAndWhatWaits) {
  Start({.max_queue_length = 3});
  const Call running = Occupy();
  const std::vector<Call> waiting = {Submit(), Submit()};
  Call staged = Admit();
  EXPECT_EQ(Metric("flashcore_queue_length"), 3);
  EXPECT_EQ(Metric("flashcore_requests_in_flight"), 4);

  const absl::Status full = AdmitError();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("queue is full"));
  EXPECT_EQ(Rejections("queue_full"), 1);

  staged.request.reset();
  EXPECT_EQ(Metric("flashcore_queue_length"), 2);
  EXPECT_TRUE(AdmitError().ok()) << "dropped before Submit: the place is free again";
}

TEST_F(AdmissionTest, ALaneFreesPlacesWhenItTakesThem) {
  Start({.max_queue_length = 2});
  const Call running = Occupy();
  const std::vector<Call> waiting = {Submit(), Submit()};
  EXPECT_FALSE(AdmitError().ok());
  engine_.device().Release(0);
  engine_.device().AwaitBatch(1);
  EXPECT_TRUE(AdmitError().ok());
}

TEST_F(AdmissionTest, MemoryBound) {
  Start();
  AttentionProblem problem = Problem();
  problem.q_len = static_cast<int64_t>(kArenaBytes / 4 / 16);
  const Call half = Admit(problem);
  const absl::Status full = AdmitError(problem);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("memory"));
  EXPECT_EQ(Rejections("memory_full"), 1);
  EXPECT_EQ(Metric("flashcore_queue_length"), 1) << "the refused one left its place";
  EXPECT_EQ(Metric("flashcore_in_flight_bytes"), kArenaBytes / 2 + 2 * kTensorBytes) << "and its half of the memory";
}

TEST_F(AdmissionTest, LargerThanABatchMayEverBe) {
  Start({.max_batch_bytes = kProblemBytes});
  EXPECT_TRUE(AdmitError().ok());
  const absl::Status status = AdmitError(Problem(/*kv_len=*/17));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024 bytes"));
  EXPECT_EQ(scheduler_->Admit(Problem(), /*want_lse=*/true, {}).status().code(), absl::StatusCode::kResourceExhausted)
      << "LSE counts";
  EXPECT_EQ(Rejections("too_large"), 2);
}

TEST_F(AdmissionTest, SizesWhoseSumOverflowsAreTooLarge) {
  Start();
  AttentionProblem problem = Problem();
  problem.q_len = problem.kv_len = std::numeric_limits<int64_t>::max() / 32;
  ASSERT_TRUE(ValidateProblem(problem).ok()) << ValidateProblem(problem);
  EXPECT_EQ(AdmitError(problem).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Rejections("too_large"), 1);
}

TEST_F(AdmissionTest, WhatTheBackendLacks) {
  Start();
  AttentionProblem problem = Problem();
  problem.dtype = DType::kBFloat16;
  EXPECT_EQ(AdmitError(problem), absl::UnimplementedError("no bf16 here"));
  EXPECT_EQ(Rejections("unsupported"), 1);
}

TEST_F(AdmissionTest, AnExpiredDeadline) {
  Start();
  EXPECT_EQ(AdmitError(Problem(), {.deadline_ns = clock_.NowNs()}).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(AdmitError(Problem(), {.deadline_ns = clock_.NowNs() + 1}).ok());
  EXPECT_EQ(Rejections("deadline"), 1);
}

TEST_F(AdmissionTest, BacklogBoundCountsTheTimeOfAllThatIsUnderWay) {
  Start({.lanes = 1, .max_batch_requests = 1, .max_backlog_ns = 64});
  const Call first = Occupy();
  const std::vector<Call> others = {Submit(), Submit(), Submit(), Submit(), Submit(), Submit(), Submit()};
  EXPECT_TRUE(AdmitError().ok()) << "nothing is measured yet";
  clock_.AdvanceNs(10);
  engine_.device().Release(0);
  engine_.device().AwaitBatch(1);

  const absl::Status full = AdmitError();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("7 requests are under way"));
  EXPECT_GT(RetryAfterMs(full), 0);
  EXPECT_EQ(Rejections("queue_full"), 1);
  for (size_t batch = 1; batch <= 2; ++batch) {
    clock_.AdvanceNs(10);
    engine_.device().Release(batch);
    engine_.device().AwaitBatch(batch + 1);
  }
  EXPECT_TRUE(AdmitError().ok()) << "five of 10 ns and this one";
  EXPECT_FALSE(AdmitError(Problem(), {.priority = Priority::kLow}).ok()) << "half is open to low priorities";
  engine_.device().ReleaseAll();
  for (const Call& call : others) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
}

TEST_F(AdmissionTest, WithoutABacklogBoundAnOverloadedServerTakesLittleMore) {
  Start({.lanes = 1, .max_batch_requests = 1});
  const Call alone = Occupy();
  clock_.AdvanceNs(2'000'000);
  engine_.device().Release(0);
  EXPECT_EQ(alone.Wait(), absl::StatusCode::kOk);
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));

  std::vector<Call> calls = {Occupy(1)};
  while (std::ssize(calls) < BacklogLimit::kOverloadRequests) calls.push_back(Submit());
  const absl::Status full = AdmitError();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("128 requests are under way, which will take 256 ms"));
  for (size_t batch = 1; batch < calls.size(); ++batch) {
    clock_.AdvanceNs(2'000'000);
    EXPECT_FALSE(AdmitError().ok()) << batch;
    engine_.device().Release(batch);
    engine_.device().AwaitBatch(batch + 1);
  }
  EXPECT_TRUE(AdmitError().ok()) << "one is computed, and one may come";
  engine_.device().ReleaseAll();
  for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
}

TEST_F(AdmissionTest, AnIdleServerTakesWhatIsLongerThanTheBacklogMayBe) {
  Start({.lanes = 1, .max_batch_requests = 1, .max_backlog_ns = 5});
  const std::vector<Call> calls = {Occupy(), Submit()};
  clock_.AdvanceNs(10);
  engine_.device().Release(0);
  engine_.device().AwaitBatch(1);
  EXPECT_FALSE(AdmitError().ok());
  engine_.device().Release(1);
  for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
  EXPECT_TRUE(AdmitError().ok());
}

TEST_F(AdmissionTest, OptionsOutOfRange) {
  const SchedulerOptions bad[] = {{.max_queue_length = 0},
                                  {.lanes = -1},
                                  {.lanes = kMaxLanes + 1},
                                  {.max_batch_requests = 0},
                                  {.max_batch_bytes = 0},
                                  {.max_batch_requests = kMaxBatchProblems + 1},
                                  {.max_batch_flops = -1},
                                  {.max_batch_flops = std::nan("")},
                                  {.max_queue_delay_ns = -1},
                                  {.max_queue_delay_ns = kMaxQueueDelayNs + 1},
                                  {.max_backlog_ns = -1},
                                  {.lane_poll_ns = -1},
                                  {.lane_poll_ns = kMaxLanePollNs + 1}};
  for (const SchedulerOptions& options : bad) {
    EXPECT_EQ(Scheduler::Create(engines_, options, metrics_, clock_, [](const absl::Status&) {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(AdmissionTest, ALaneThatCannotBeMade) {
  engine_.set_max_lanes(1);
  EXPECT_EQ(Scheduler::Create(engines_, {.lanes = 2}, metrics_, clock_, [](const absl::Status&) {}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LaneCountTest, DefaultsByBackend) {
  BackendInfo host;
  BackendInfo device;
  device.device_memory = true;
  EXPECT_EQ(LaneCount(0, host), 1);
  EXPECT_EQ(LaneCount(0, device), 3);
  EXPECT_EQ(LaneCount(5, host), 5);
}

TEST(BatchFlopsTest, DefaultsByBackend) {
  BackendInfo host;
  BackendInfo device;
  device.device_memory = true;
  EXPECT_EQ(BatchFlops(0, host), 2e10);
  EXPECT_EQ(BatchFlops(0, device), 1e12);
  EXPECT_EQ(BatchFlops(5, host), 5);
}

}  // namespace
}  // namespace flashcore
