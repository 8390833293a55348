// The ways out other than a result: deadlines, cancellation, drain, device faults, shutdown.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EndingTest : public SchedulerFixture {};

TEST_F(EndingTest, AnExpiredRequestLeavesBeforeTheLaunch) {
  Start();
  Call running = Occupy();
  Call expiring = Submit(Problem(2), {.deadline_ns = clock_.NowNs() + 100});
  Call lasting = Submit(Problem(3), {.deadline_ns = clock_.NowNs() + 101});
  clock_.AdvanceNs(100);
  engine_.device().Release(0);
  EXPECT_EQ(expiring.Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(expiring.request->times[Stage::kQueue], 100);
  EXPECT_EQ(expiring.request->batch_size, 0);
  EXPECT_EQ(expiring.request->input.data(), nullptr);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(3));
  EXPECT_EQ(Rejections("deadline"), 1);
  engine_.device().Release(1);
  EXPECT_EQ(lasting.Wait(), absl::StatusCode::kOk);
  running = expiring = lasting = {};
  ExpectNothingLeft();
}

TEST_F(EndingTest, WhatExpiresWhileItIsStagedNeverWaits) {
  Start();
  Call call = Admit(Problem(), {.deadline_ns = clock_.NowNs() + 100});
  clock_.AdvanceNs(100);
  scheduler_->Submit(call.request);
  EXPECT_TRUE(call.outcome->is_set());
  EXPECT_EQ(call.Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Rejections("deadline"), 1);
  EXPECT_EQ(Metric("flashcore_in_flight_bytes"), 0);
  call = {};
  ExpectNothingLeft();
  EXPECT_EQ(engine_.device().batches_started(), 0u);
}

TEST_F(EndingTest, ExpiredRequestsOfAnyPriorityLeaveTogether) {
  Start({.max_batch_requests = 1});
  const Call running = Occupy();
  const std::vector<Call> expiring = {
      Submit(Problem(2), {.deadline_ns = clock_.NowNs() + 1, .priority = Priority::kLow}),
      Submit(Problem(3), {.deadline_ns = clock_.NowNs() + 2, .connection = 7})};
  const std::vector<Call> lasting = {Submit(Problem(4), {.priority = Priority::kHigh}), Submit(Problem(5))};
  clock_.AdvanceNs(2);
  engine_.device().Release(0);
  for (const Call& call : expiring) EXPECT_EQ(call.Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(4));
}

TEST_F(EndingTest, ExpiredRequestsTakeNoneOfTheBudgets) {
  Start({.max_batch_requests = 2, .max_batch_bytes = 2 * kProblemBytes});
  const Call running = Occupy();
  const Call expiring = Submit(Problem(2), {.deadline_ns = clock_.NowNs() + 1});
  const std::vector<Call> lasting = {Submit(Problem(3)), Submit(Problem(4))};
  const Call expiring_too = Submit(Problem(5), {.deadline_ns = clock_.NowNs() + 1});
  clock_.AdvanceNs(1);
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(3, 4));
  EXPECT_EQ(expiring.Wait(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(expiring_too.Wait(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EndingTest, ALaneThatFindsOnlyExpiredRequestsGoesOnWaiting) {
  Start();
  const Call running = Occupy();
  const Call expiring = Submit(Problem(2), {.deadline_ns = clock_.NowNs() + 1});
  clock_.AdvanceNs(1);
  engine_.device().Release(0);
  EXPECT_EQ(expiring.Wait(), absl::StatusCode::kDeadlineExceeded);
  const Call next = Submit(Problem(3));
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(3));
}

TEST_F(EndingTest, CancelTakesAWaitingRequestOutAtOnce) {
  Start({.max_queue_length = 2});
  Call running = Occupy();
  Call cancelled = Submit(Problem(2));
  Call other = Submit(Problem(3));
  scheduler_->Cancel(cancelled.request);
  EXPECT_TRUE(cancelled.outcome->is_set());
  EXPECT_EQ(cancelled.Wait(), absl::StatusCode::kCancelled);
  scheduler_->Cancel(cancelled.request);
  EXPECT_EQ(Metric("flashcore_queue_length"), 1);
  EXPECT_EQ(cancelled.request->output.data(), nullptr) << "nobody reads it";
  EXPECT_EQ(Metric("flashcore_in_flight_bytes"), 2 * kProblemBytes) << "of the two others";
  EXPECT_TRUE(AdmitError().ok());
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(3));
  engine_.device().ReleaseAll();
  EXPECT_EQ(other.Wait(), absl::StatusCode::kOk);
  running = cancelled = other = {};
  ExpectNothingLeft();
}

TEST_F(EndingTest, CancelDoesNothingToARunningOrFinishedRequest) {
  Start();
  const Call running = Occupy();
  scheduler_->Cancel(running.request);
  EXPECT_FALSE(running.outcome->is_set());
  engine_.device().Release(0);
  EXPECT_EQ(running.Wait(), absl::StatusCode::kOk);
  scheduler_->Cancel(running.request);
}

TEST_F(EndingTest, CancelBeforeSubmitEndsItAtSubmit) {
  Start();
  Call call = Admit();
  scheduler_->Cancel(call.request);
  scheduler_->Cancel(call.request);
  EXPECT_FALSE(call.outcome->is_set());
  scheduler_->Submit(call.request);
  EXPECT_TRUE(call.outcome->is_set());
  EXPECT_EQ(call.Wait(), absl::StatusCode::kCancelled);

  Call dropped = Admit();
  scheduler_->Cancel(dropped.request);
  call = dropped = {};
  ExpectNothingLeft();
  EXPECT_EQ(engine_.device().batches_started(), 0u);
}

TEST_F(EndingTest, DrainRefusesWhatIsNewAndFinishesWhatWasAdmitted) {
  Start();
  Call running = Occupy();
  Call waiting = Submit();
  Call staged = Admit();
  scheduler_->StartDrain();
  EXPECT_EQ(AdmitError().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Rejections("draining"), 1);
  scheduler_->Submit(staged.request);
  engine_.device().ReleaseAll();
  EXPECT_EQ(running.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(waiting.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(staged.Wait(), absl::StatusCode::kOk);
  running = waiting = staged = {};
  ExpectNothingLeft();
}

TEST_F(EndingTest, WaitIdleGivesUpAtItsDeadline) {
  Start();
  EXPECT_TRUE(scheduler_->WaitIdle(clock_.NowNs())) << "idle already";
  Call staged = Admit();
  EXPECT_FALSE(scheduler_->WaitIdle(clock_.NowNs())) << "admitted counts";
  staged.request.reset();
  EXPECT_TRUE(scheduler_->WaitIdle(clock_.NowNs()));
}

TEST_F(EndingTest, WaitIdleReturnsOnlyAfterEveryDoneHas) {
  Start();
  std::atomic<bool> done_returned = false;
  Call call = Admit();
  call.request->done = [&](const absl::Status&) { done_returned = true; };
  scheduler_->Submit(std::move(call.request));
  std::thread releaser([this] {
    engine_.device().AwaitBatch(0);
    engine_.device().Release(0);
  });
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
  EXPECT_TRUE(done_returned);
  EXPECT_EQ(engine_.arena()->used_bytes(), 0u) << "and the request is gone";
  releaser.join();
}

TEST_F(EndingTest, WaitIdleWaitsForWhatEndsBeforeItsDeadline) {
  Start();
  const Call call = Occupy();
  std::thread releaser([this] { engine_.device().Release(0); });
  EXPECT_TRUE(scheduler_->WaitIdle(clock_.NowNs() + 3'600'000'000'000));
  EXPECT_TRUE(call.outcome->is_set());
  releaser.join();
}

TEST_F(EndingTest, WhatDoneHeldIsGoneBeforeTheSchedulerIsIdle) {
  Start();
  Scheduler& scheduler = *scheduler_;
  std::atomic<bool> idle_too_early = false;
  const auto let_go = [&](std::nullptr_t /*held*/) { idle_too_early = scheduler.WaitIdle(clock_.NowNs()); };
  Call call = Admit();
  call.request->done = [held = std::shared_ptr<void>(nullptr, let_go)](const absl::Status&) {};
  scheduler.Submit(std::move(call.request));
  engine_.device().ReleaseAll();
  EXPECT_TRUE(scheduler.WaitIdle(kNoDeadlineNs));
  scheduler_.reset();
  EXPECT_FALSE(idle_too_early);
}

TEST_F(EndingTest, ADeviceFaultFailsTheBatchTheQueueAndEverythingLater) {
  Start();
  Call running = Occupy();
  Call waiting = Submit();
  Call staged = Admit();
  engine_.device().Release(0, absl::InternalError("illegal address"));
  EXPECT_EQ(running.Wait(), absl::StatusCode::kInternal);
  EXPECT_EQ(waiting.Wait(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(running.outcome->Wait().message()), HasSubstr("illegal address"));
  scheduler_->Submit(staged.request);
  EXPECT_EQ(staged.Wait(), absl::StatusCode::kInternal);
  EXPECT_EQ(AdmitError().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Rejections("device_fault"), 1);
  scheduler_->StartDrain();
  EXPECT_EQ(AdmitError().code(), absl::StatusCode::kInternal) << "a drain does not hide a fault";
  EXPECT_EQ(Metric("flashcore_batches_total"), 0);
  running = waiting = staged = {};
  ExpectNothingLeft();
  scheduler_.reset();
  EXPECT_EQ(faults_, 1);
}

TEST_F(EndingTest, AFaultOnTwoLanesIsReportedOnce) {
  Start({.lanes = 2});
  const Call first = Occupy(0);
  const Call second = Occupy(1);
  engine_.device().Release(0, absl::InternalError("one"));
  engine_.device().Release(1, absl::InternalError("two"));
  EXPECT_EQ(first.Wait(), absl::StatusCode::kInternal);
  EXPECT_EQ(second.Wait(), absl::StatusCode::kInternal);
  scheduler_.reset();
  EXPECT_EQ(faults_, 1);
}

TEST_F(EndingTest, AnotherLanesBatchSurvivesAFault) {
  Start({.lanes = 2});
  const Call faulty = Occupy(0);
  const Call healthy = Occupy(1);
  engine_.device().Release(0, absl::InternalError("gone"));
  EXPECT_EQ(faulty.Wait(), absl::StatusCode::kInternal);
  engine_.device().Release(1);
  EXPECT_EQ(healthy.Wait(), absl::StatusCode::kOk);
}

TEST_F(EndingTest, TheDestructorFailsTheQueueAndWaitsForTheLanes) {
  Start();
  Call running = Occupy();
  Call waiting = Submit();
  std::thread destroyer([this] { scheduler_.reset(); });
  EXPECT_EQ(waiting.Wait(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(running.outcome->is_set());
  engine_.device().Release(0);
  destroyer.join();
  EXPECT_TRUE(running.outcome->is_set());
  EXPECT_EQ(running.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(faults_, 0);
}

TEST_F(EndingTest, RequestsMayOutliveTheScheduler) {
  Start();
  Call staged = Admit();
  Call finished = Submit();
  engine_.device().ReleaseAll();
  EXPECT_EQ(finished.Wait(), absl::StatusCode::kOk);
  scheduler_.reset();
  EXPECT_NE(finished.request->output.data(), nullptr);
  EXPECT_EQ(Metric("flashcore_queue_length"), 1);
  staged.request.reset();
  EXPECT_EQ(Metric("flashcore_queue_length"), 0);
  EXPECT_EQ(Metric("flashcore_requests_in_flight"), 0);
}

}  // namespace
}  // namespace flashcore
