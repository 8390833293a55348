// Which requests share a launch, and what each of them gets back.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;

class BatchingTest : public SchedulerFixture {};

TEST_F(BatchingTest, AFreeLaneTakesARequestAtOnce) {
  Start();
  Call call = Occupy();
  engine_.device().Release(0);
  EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(call.request->batch_size, 1);
  EXPECT_EQ(call.request->kernel, "fake/kernel");
  EXPECT_EQ(call.request->times[Stage::kUpload], FakeEngine::kUploadNs);
  EXPECT_EQ(call.request->times[Stage::kCompute], FakeEngine::kComputeNs);
  EXPECT_EQ(call.request->times[Stage::kDownload], FakeEngine::kDownloadNs);
  call.request.reset();
  ExpectNothingLeft();
}

// So that answering the requests of a batch one after the other, and noticing its end, count as sending.
TEST_F(BatchingTest, WhatComesAfterTheDevicesTimesIsNotComputing) {
  constexpr int64_t kDeviceNs = FakeEngine::kUploadNs + FakeEngine::kComputeNs + FakeEngine::kDownloadNs;
  Start();
  size_t index = 0;
  for (const int64_t run_ns : {kDeviceNs + 1000, kDeviceNs, kDeviceNs - 1}) {
    const int64_t started_ns = clock_.NowNs();
    const Call call = Occupy(index);
    clock_.AdvanceNs(run_ns);
    engine_.device().Release(index++);
    EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
    EXPECT_EQ(call.request->computed_ns - started_ns, std::min(run_ns, kDeviceNs));
  }
}

TEST_F(BatchingTest, WhatGathersWhileTheLaneIsBusySharesTheNextLaunchInOrder) {
  Start();
  const Call first = Occupy();
  std::vector<Call> calls;
  for (int64_t kv_len = 2; kv_len <= 6; ++kv_len) {
    calls.push_back(Submit(Problem(kv_len)));
    clock_.AdvanceNs(100);
  }
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(2, 3, 4, 5, 6));
  engine_.device().Release(1);
  int64_t queue_ns = 500;
  for (const Call& call : calls) {
    EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
    EXPECT_EQ(call.request->batch_size, 5);
    EXPECT_EQ(call.request->times[Stage::kQueue], queue_ns);
    queue_ns -= 100;
  }
  EXPECT_EQ(first.Wait(), absl::StatusCode::kOk);
}

TEST_F(BatchingTest, RequestBudget) {
  Start({.max_batch_requests = 2});
  const Call first = Occupy();
  std::vector<Call> calls;
  for (int64_t kv_len = 2; kv_len <= 4; ++kv_len) calls.push_back(Submit(Problem(kv_len)));
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(2, 3));
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(4));
}

TEST_F(BatchingTest, ByteBudgetIsReachedAndNotPassed) {
  Start({.max_batch_bytes = 2 * kProblemBytes});
  const Call first = Occupy();
  std::vector<Call> calls;
  for (int64_t kv_len = 2; kv_len <= 4; ++kv_len) calls.push_back(Submit(Problem(kv_len)));
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(2, 3));
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(4));
}

TEST_F(BatchingTest, FlopBudgetIsReachedAndNotPassed) {
  const double flops = AttentionFlops(Problem(4));
  Start({.max_batch_flops = 2 * flops});
  const Call first = Occupy();
  std::vector<Call> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Submit(Problem(4)));
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(4, 4));
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(4));
}

TEST_F(BatchingTest, WhatIsAboveTheFlopBudgetIsComputedAlone) {
  Start({.max_batch_flops = 1});
  const Call first = Occupy();
  const std::vector<Call> calls = {Submit(Problem(4)), Submit(Problem(5))};
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(4));
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(5));
}

TEST_F(BatchingTest, ALargeRequestIsNotOvertaken) {
  constexpr int64_t kLargeKvLen = 33;  // K and V take 3 units each, so 8 with Q and O.
  Start({.max_batch_bytes = 2 * kProblemBytes + kTensorBytes});
  const Call first = Occupy();
  const std::vector<Call> calls = {Submit(Problem(2)), Submit(Problem(kLargeKvLen)), Submit(Problem(3))};
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(2));
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(kLargeKvLen));
  engine_.device().Release(2);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(3)), ElementsAre(3));
}

TEST_F(BatchingTest, LanesWorkSideBySide) {
  Start({.lanes = 2});
  const Call first = Occupy(0);
  const Call second = Occupy(1);
  EXPECT_EQ(Metric("flashcore_lanes_busy"), 2);
  engine_.device().Release(1);
  EXPECT_EQ(second.Wait(), absl::StatusCode::kOk);
  EXPECT_FALSE(first.outcome->is_set());
  engine_.device().Release(0);
  EXPECT_EQ(first.Wait(), absl::StatusCode::kOk);
}

TEST_F(BatchingTest, BlocksHoldAlignedTensorsAndInputsAreFreedBeforeDone) {
  Start();
  AttentionProblem problem = Problem();
  problem.q_len = 3;
  problem.kv_len = 100;
  problem.q_strides = StridesBshd(1, 3, 8);
  absl::StatusOr<std::shared_ptr<Request>> admitted = scheduler_->Admit(problem, /*want_lse=*/true, {});
  ASSERT_TRUE(admitted.ok()) << admitted.status();
  const std::shared_ptr<Request> request = *admitted;
  constexpr int64_t kKeyBytes = int64_t{100} * 8 * 2;
  const auto* const input = request->input.data();
  EXPECT_EQ(request->problem.q, input);
  EXPECT_EQ(request->problem.k, input + kTensorBytes);
  EXPECT_EQ(request->problem.v, input + kTensorBytes + (kKeyBytes / kTensorBytes + 1) * kTensorBytes);
  EXPECT_EQ(request->problem.o, request->output.data());
  EXPECT_EQ(static_cast<void*>(request->problem.lse), request->output.data() + kTensorBytes);
  EXPECT_EQ(request->problem.q_strides.row, problem.q_strides.row);

  Outcome outcome;
  bool input_was_freed = false;
  request->done = [&](const absl::Status& status) {
    input_was_freed = request->input.data() == nullptr;
    outcome.Set(status);
  };
  scheduler_->Submit(request);
  engine_.device().Release(0);
  EXPECT_TRUE(outcome.Wait().ok());
  EXPECT_TRUE(input_was_freed);
  EXPECT_EQ(Metric("flashcore_in_flight_bytes"), 2 * kTensorBytes) << "the answer is the caller's until dropped";
}

TEST_F(BatchingTest, WithoutLseThereIsNoRoomForIt) {
  Start();
  const Call call = Admit();
  EXPECT_EQ(call.request->problem.lse, nullptr);
  EXPECT_EQ(call.request->output.size_bytes(), static_cast<size_t>(kTensorBytes));
}

TEST_F(BatchingTest, CountsBatches) {
  Start();
  const Call first = Occupy();
  const std::vector<Call> calls = {Submit(), Submit()};
  engine_.device().ReleaseAll();
  for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(Metric("flashcore_batches_total"), 2);
  EXPECT_EQ(Metric("flashcore_batch_requests_sum"), 3);
  EXPECT_EQ(Metric("flashcore_batch_bytes_sum"), 3 * kProblemBytes);
  EXPECT_EQ(Metric("flashcore_flops_total"), 3 * AttentionFlops(Problem()));
}

TEST_F(BatchingTest, DoneMayAdmitAndSubmitTheNext) {
  Start({.max_queue_length = 1});
  Outcome last;
  Call first = Admit();
  first.request->done = [this, &last](const absl::Status&) {
    Call next = Admit();
    next.request->done = [&last](const absl::Status& status) { last.Set(status); };
    scheduler_->Submit(next.request);
  };
  scheduler_->Submit(first.request);
  engine_.device().ReleaseAll();
  EXPECT_TRUE(last.Wait().ok());
}

}  // namespace
}  // namespace flashcore
