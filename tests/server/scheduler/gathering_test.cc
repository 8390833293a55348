// A free lane that waits for company: until when, for what, and who takes what it leaves.
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/clock.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kDelayNs = 1'000'000;

class GatheringTest : public SchedulerFixture {
 protected:
  // Submits, and returns when a lane that was free has seen it and gathers.
  Call SubmitToGather(const AttentionProblem& problem) {
    const int64_t before = clock_.readings_elsewhere();
    Call call = Submit(problem);
    // The lane asks whether to launch, and how long to wait, and lets go of the queue when it does.
    while (clock_.readings_elsewhere() < before + 2) std::this_thread::yield();
    return call;
  }
};

TEST_F(GatheringTest, AFreeLaneGathersForTheDelayAndNoLonger) {
  Start({.lanes = 2, .max_queue_delay_ns = kDelayNs});
  std::vector<Call> calls = {SubmitToGather(Problem(2))};
  clock_.AdvanceNs(kDelayNs - 1);
  calls.push_back(SubmitToGather(Problem(3)));
  EXPECT_EQ(engine_.device().batches_started(), 0u);
  clock_.AdvanceNs(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(0)), ElementsAre(2, 3));
}

TEST_F(GatheringTest, ABatchThatReachesABudgetIsNotDelayed) {
  const SchedulerOptions budgets[] = {
      {.max_batch_requests = 2, .max_queue_delay_ns = kMaxQueueDelayNs},
      {.max_batch_bytes = 2 * kProblemBytes, .max_queue_delay_ns = kMaxQueueDelayNs},
      {.max_batch_flops = 2 * AttentionFlops(Problem(4)), .max_queue_delay_ns = kMaxQueueDelayNs}};
  size_t batch = 0;
  for (const SchedulerOptions& budget : budgets) {
    scheduler_.reset();
    Start(budget);
    const std::vector<Call> calls = {Submit(Problem(4)), Submit(Problem(4))};
    EXPECT_THAT(KvLens(engine_.device().AwaitBatch(batch)), ElementsAre(4, 4));
    engine_.device().Release(batch++);
    for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  }
}

TEST_F(GatheringTest, WhatHasLeftFillsNoBatch) {
  Start({.max_batch_requests = 2, .max_batch_bytes = 2 * kProblemBytes, .max_queue_delay_ns = kDelayNs});
  const std::vector<Call> full = {Submit(Problem(2)), Submit(Problem(3))};
  engine_.device().Release(0);
  for (const Call& call : full) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  while (scheduler_->idle_lanes() == 0) std::this_thread::yield();
  const Call alone = SubmitToGather(Problem(4));
  EXPECT_EQ(engine_.device().batches_started(), 1u);
}

TEST_F(GatheringTest, ADeadlineWithinTheDelayIsNotWaitedFor) {
  Start({.max_queue_delay_ns = kMaxQueueDelayNs});
  const std::vector<Call> calls = {Submit(Problem(2)), Submit(Problem(3), {.deadline_ns = clock_.NowNs() + 10})};
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(0)), ElementsAre(3, 2));
}

TEST_F(GatheringTest, NorIsOneAtItsEnd) {
  Start({.max_queue_delay_ns = kDelayNs});
  const Call call = Submit(Problem(2), {.deadline_ns = clock_.NowNs() + kDelayNs});
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(0)), ElementsAre(2));
}

TEST_F(GatheringTest, WhatDoesNotFitIsGatheredByAnotherLane) {
  constexpr int64_t kLargeKvLen = 33;  // K and V take 3 units each, so 8 with Q and O.
  Start({.lanes = 2, .max_batch_bytes = 2 * kProblemBytes + kTensorBytes, .max_queue_delay_ns = kDelayNs});
  const std::vector<Call> calls = {SubmitToGather(Problem(2)), Submit(Problem(kLargeKvLen))};
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(0)), ElementsAre(2));
  clock_.AdvanceNs(kDelayNs);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(kLargeKvLen)) << "while the first still runs";
}

TEST_F(GatheringTest, EndsByTheRealClockToo) {
  absl::StatusOr<std::unique_ptr<Scheduler>> scheduler = Scheduler::Create(
      engines_, {.max_queue_delay_ns = kDelayNs}, metrics_, SteadyClock(), [](const absl::Status&) {});
  ASSERT_TRUE(scheduler.ok()) << scheduler.status();
  scheduler_ = *std::move(scheduler);
  const Call call = Submit(Problem(2));
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(0)), ElementsAre(2));
}

TEST_F(GatheringTest, EndsWithTheScheduler) {
  Start({.max_queue_delay_ns = kMaxQueueDelayNs});
  const Call call = SubmitToGather(Problem(2));
  scheduler_.reset();
  EXPECT_EQ(call.Wait(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace flashcore
