// Lanes that look out for work before they sleep: whether they do or not, whoever is called takes what is there.
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

class PollingTest : public SchedulerFixture, public testing::WithParamInterface<int64_t> {
 protected:
  static constexpr int kLanes = 3;

  void StartPolling(int lanes = kLanes) {
    engine_.set_device_memory(true);
    Start({.lanes = lanes, .max_batch_requests = 1, .lane_poll_ns = GetParam()});
  }
  void AwaitIdleLanes(int lanes) {
    while (scheduler_->idle_lanes() < lanes) std::this_thread::yield();
  }
};

TEST_P(PollingTest, OneRequestAfterTheOther) {
  StartPolling();
  engine_.device().ReleaseAll();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Submit().Wait(), absl::StatusCode::kOk);
  ExpectNothingLeft();
}

TEST_P(PollingTest, RequestsWakeTheLanesThatSleepTheOneThatPollsAndNoMore) {
  StartPolling();
  for (size_t round = 0; round < 20; ++round) {
    AwaitIdleLanes(kLanes);
    std::vector<Call> calls;
    for (int i = 0; i < kLanes + 1; ++i) calls.push_back(Submit());
    const size_t first = round * calls.size();
    engine_.device().AwaitBatch(first + kLanes - 1);
    EXPECT_EQ(scheduler_->idle_lanes(), 0);
    for (size_t i = 0; i < calls.size(); ++i) engine_.device().Release(first + i);
    for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  }
}

TEST_P(PollingTest, EndsWithTheScheduler) {
  StartPolling();
  AwaitIdleLanes(kLanes);
  scheduler_.reset();
}

TEST_P(PollingTest, EndsWithAFault) {
  StartPolling(/*lanes=*/2);
  const Call call = Occupy();
  AwaitIdleLanes(1);
  engine_.device().Release(0, absl::InternalError("fell off the bus"));
  EXPECT_EQ(call.Wait(), absl::StatusCode::kInternal);
  scheduler_.reset();
  EXPECT_EQ(faults_, 1);
}

// Not at all, so short that most polls end by themselves, and so long that none does.
INSTANTIATE_TEST_SUITE_P(Times, PollingTest, testing::Values(0, 1'000, kMaxLanePollNs));

}  // namespace
}  // namespace flashcore
