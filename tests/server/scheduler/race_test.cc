// Many threads at once. These find lost wake-ups (by hanging), requests that end twice or never, and, under
// ThreadSanitizer, races.
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

constexpr int kThreads = 4;
constexpr int kRequestsPerThread = 500;

// How requests ended, by code.
struct Tally {
  std::array<std::atomic<int>, 17> by_code = {};

  void Count(const absl::Status& status) { ++by_code[static_cast<size_t>(status.code())]; }
  int operator[](absl::StatusCode code) const { return by_code[static_cast<size_t>(code)]; }
  int total() const {
    int sum = 0;
    for (const std::atomic<int>& count : by_code) sum += count;
    return sum;
  }
};

class RaceTest : public SchedulerFixture {
 protected:
  RaceTest() { engine_.device().ReleaseAll(); }

  static void OnThreads(const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(body, i);
    for (std::thread& thread : threads) thread.join();
  }

  // Counts itself in `tally` when it ends; nullptr, and counted, if it was refused.
  std::shared_ptr<Request> AdmitInto(Tally& tally) {
    absl::StatusOr<std::shared_ptr<Request>> request = scheduler_->Admit(Problem(), false, {});
    if (!request.ok()) {
      tally.Count(request.status());
      return nullptr;
    }
    (*request)->done = [&tally](const absl::Status& status) { tally.Count(status); };
    return *std::move(request);
  }
};

class WakeUpRaceTest : public RaceTest, public testing::WithParamInterface<int64_t> {};

TEST_P(WakeUpRaceTest, NoneIsLost) {
  engine_.set_device_memory(true);
  Start({.max_queue_length = kThreads, .lanes = 3, .max_batch_requests = 2, .lane_poll_ns = GetParam()});
  Tally tally;
  OnThreads([this, &tally](int) {
    for (int i = 0; i < kRequestsPerThread; ++i) {
      const Call call = Submit();
      tally.Count(call.outcome->Wait());
    }
  });
  EXPECT_EQ(tally[absl::StatusCode::kOk], kThreads * kRequestsPerThread);
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(LanePolls, WakeUpRaceTest, testing::Values(0, 1'000, kMaxLanePollNs));

TEST_F(RaceTest, CancelAgainstALaneThatPicks) {
  Start({.lanes = 2});
  Tally tally;
  OnThreads([this, &tally](int) {
    for (int i = 0; i < kRequestsPerThread; ++i) {
      const std::shared_ptr<Request> request = AdmitInto(tally);
      std::thread canceller;
      if (i % 8 == 0) canceller = std::thread([this, &request] { scheduler_->Cancel(request); });
      scheduler_->Submit(request);
      if (canceller.joinable()) canceller.join();
      scheduler_->Cancel(request);
    }
  });
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
  EXPECT_EQ(tally[absl::StatusCode::kOk] + tally[absl::StatusCode::kCancelled], kThreads * kRequestsPerThread);
  ExpectNothingLeft();
}

TEST_F(RaceTest, DrainAgainstNewRequests) {
  Start({.lanes = 2});
  Tally tally;
  OnThreads([this, &tally](int thread) {
    for (int i = 0; i < kRequestsPerThread; ++i) {
      if (thread == 0 && i == kRequestsPerThread / 2) scheduler_->StartDrain();
      const std::shared_ptr<Request> request = AdmitInto(tally);
      if (request != nullptr) scheduler_->Submit(request);
    }
  });
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
  EXPECT_EQ(tally.total(), kThreads * kRequestsPerThread);
  EXPECT_EQ(tally.total(), tally[absl::StatusCode::kOk] + tally[absl::StatusCode::kUnavailable] +
                               tally[absl::StatusCode::kResourceExhausted]);
  EXPECT_GE(tally[absl::StatusCode::kUnavailable], kRequestsPerThread / 2);
  ExpectNothingLeft();
}

TEST_F(RaceTest, AFaultAgainstEverything) {
  constexpr size_t kFaultyBatch = 100;
  engine_.device().Release(kFaultyBatch, absl::InternalError("injected"));
  Start({.lanes = 3, .max_batch_requests = 1});
  Tally tally;
  OnThreads([this, &tally](int thread) {
    std::mt19937 random(static_cast<unsigned>(thread));  // Seeded by the thread's number: the same each time.
    for (int i = 0; i < kRequestsPerThread; ++i) {
      const std::shared_ptr<Request> request = AdmitInto(tally);
      if (request == nullptr) continue;
      scheduler_->Submit(request);
      if (random() % 4 == 0) scheduler_->Cancel(request);
    }
  });
  EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
  EXPECT_EQ(tally.total(), kThreads * kRequestsPerThread);
  ExpectNothingLeft();
  const bool faulted = engine_.device().batches_started() > kFaultyBatch;
  scheduler_.reset();
  EXPECT_EQ(faults_, faulted ? 1 : 0);
}

TEST_F(RaceTest, DestructionWithWorkOnEveryLane) {
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    Start({.lanes = 3, .max_batch_requests = 1});
    Tally tally;
    for (int i = 0; i < 10; ++i) scheduler_->Submit(AdmitInto(tally));
    scheduler_.reset();
    EXPECT_EQ(tally.total(), 10);
    EXPECT_EQ(tally.total(), tally[absl::StatusCode::kOk] + tally[absl::StatusCode::kUnavailable]);
  }
}

}  // namespace
}  // namespace flashcore
