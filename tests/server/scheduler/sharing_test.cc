// Who gets in and who goes first: priorities, connections, hints.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/admission.h"
#include "server/scheduler/drain_meter.h"
#include "server/scheduler/retry_hint.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kGreedy = 1;
constexpr uint64_t kModest = 2;

class SharingTest : public SchedulerFixture {
 protected:
  double QueueLength(const std::string& priority) const {
    return Metric("flashcore_priority_queue_length{priority=\"" + priority + "\"}");
  }
};

TEST_F(SharingTest, ABatchTakesWhatIsUrgentFirst) {
  Start({.max_batch_requests = 3});
  const Call running = Occupy();
  const std::vector<Call> calls = {Submit(Problem(2), {.priority = Priority::kLow}), Submit(Problem(3)),
                                   Submit(Problem(4), {.deadline_ns = clock_.NowNs() + 200}),
                                   Submit(Problem(5), {.deadline_ns = clock_.NowNs() + 100}),
                                   Submit(Problem(6), {.priority = Priority::kHigh})};
  EXPECT_EQ(QueueLength("low"), 1);
  EXPECT_EQ(QueueLength("normal"), 3);
  EXPECT_EQ(QueueLength("high"), 1);
  engine_.device().Release(0);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(1)), ElementsAre(6, 5, 4));
  EXPECT_EQ(QueueLength("high"), 0);
  engine_.device().Release(1);
  EXPECT_THAT(KvLens(engine_.device().AwaitBatch(2)), ElementsAre(3, 2));
}

TEST_F(SharingTest, AGreedyConnectionDoesNotFillTheBatchesOfOthers) {
  Start({.max_batch_requests = 4});
  const Call running = Occupy();
  std::vector<Call> calls;
  for (int64_t i = 0; i < 40; ++i) calls.push_back(Submit(Problem(2), {.connection = kGreedy}));
  for (int64_t i = 0; i < 2; ++i) calls.push_back(Submit(Problem(3), {.connection = kModest}));
  engine_.device().Release(0);
  const std::vector<int64_t> next = KvLens(engine_.device().AwaitBatch(1));
  EXPECT_EQ(std::count(next.begin(), next.end(), 3), 2) << "behind 40 others, and in the next batch";
}

TEST_F(SharingTest, AGreedyConnectionLeavesPlacesToOthers) {
  constexpr int64_t kPlaces = 32;
  Start({.max_queue_length = kPlaces});
  const Call running = Occupy();
  std::vector<Call> calls;
  absl::Status refusal;
  while (refusal.ok()) {
    absl::StatusOr<std::shared_ptr<Request>> request =
        scheduler_->Admit(Problem(), /*want_lse=*/false, {.connection = kGreedy});
    refusal = request.status();
    if (request.ok()) calls.emplace_back().request = *std::move(request);
  }
  EXPECT_EQ(calls.size(), 27u) << "seven eighths of the thirty that are open to normal priority";
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("this connection holds 27 of the 32 places"));
  EXPECT_GT(RetryAfterMs(refusal), 0);
  EXPECT_EQ(Rejections("connection_share"), 1);
  EXPECT_TRUE(AdmitError(Problem(), {.connection = kModest}).ok());
  EXPECT_FALSE(AdmitError(Problem(), {.priority = Priority::kLow, .connection = kModest}).ok());
  EXPECT_EQ(Rejections("queue_full"), 1);
  calls.pop_back();
  EXPECT_TRUE(AdmitError(Problem(), {.connection = kGreedy}).ok()) << "a place is back";
}

TEST_F(SharingTest, AGreedyConnectionLeavesMemoryToOthersUntilItsAnswersHaveLeft) {
  Start();
  AttentionProblem large = Problem();
  large.q_len = static_cast<int64_t>(kArenaBytes / 128 / 16);  // A sixty-fourth of the arena, with O.
  std::vector<Call> calls;
  absl::Status refusal;
  while ((refusal = AdmitError(large, {.connection = kGreedy})).ok())
    calls.push_back(Admit(large, {.connection = kGreedy}));
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("share of the staging memory"));
  EXPECT_GT(RetryAfterMs(refusal), 0);
  EXPECT_TRUE(AdmitError(large, {.connection = kModest}).ok());

  engine_.device().ReleaseAll();
  for (const Call& call : calls) scheduler_->Submit(call.request);
  for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  const auto held_bytes = static_cast<size_t>(Metric("flashcore_in_flight_bytes"));
  EXPECT_GE(held_bytes, calls.size() * (kArenaBytes / 128)) << "the unsent answers";
  calls.clear();
  EXPECT_TRUE(AdmitError(large, {.connection = kGreedy}).ok());
}

TEST_F(SharingTest, TheHintFollowsTheMeasuredRate) {
  constexpr int64_t kBatchMs = 50;
  Start({.max_queue_length = 7, .max_batch_requests = 1});
  Call running = Occupy();
  std::vector<Call> calls;
  for (size_t i = 0; i < 4; ++i) calls.push_back(Submit());
  for (size_t i = 0; i < 2; ++i) {
    clock_.AdvanceNs(kBatchMs * 1'000'000);
    engine_.device().Release(i);
    engine_.device().AwaitBatch(i + 1);
  }
  while (AdmitError().ok() && calls.size() < 9) calls.push_back(Submit());
  EXPECT_EQ(RetryAfterMs(AdmitError()), 7 * kBatchMs) << "until the seven that wait have gone";
}

TEST_F(SharingTest, WhatIsTooLargeGetsNoHint) {
  Start({.max_batch_bytes = kProblemBytes});
  const absl::Status status = AdmitError(Problem(/*kv_len=*/17));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfterMs(status), 0);
}

TEST_F(SharingTest, ConnectionsThatHoldNothingAreForgotten) {
  Admission admission(/*max_waiting=*/10'000, BacklogLimit(/*fixed_ns=*/0, /*lanes=*/1), metrics_);
  std::vector<std::shared_ptr<ConnectionShare>> held;
  for (uint64_t connection = 0; connection < 3'000; ++connection) {
    const RequestTerms terms = {.connection = connection};
    Admission::Entry entry = admission.Enter(terms, /*time_per_request_ns=*/0, /*now_ns=*/0);
    ASSERT_TRUE(entry.status.ok());
    if (connection % 100 == 0) {
      held.push_back(entry.share);
    } else {
      admission.LeaveQueue(terms, *entry.share);
    }
  }
  EXPECT_LE(admission.connections(), 2 * held.size() + 64);
  EXPECT_EQ(admission.Enter({.connection = 100}, 0, 0).share, held[1]) << "and those that do are not";
}

}  // namespace
}  // namespace flashcore
