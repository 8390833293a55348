// Several engines behind one queue.
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace flashcore {
namespace {

class DevicesTest : public SchedulerFixture {
 protected:
  DevicesTest() { engines_.push_back(&other_); }
  ~DevicesTest() override {
    engine_.device().ReleaseAll();
    other_.device().ReleaseAll();
    scheduler_.reset();  // Before its second engine.
  }

  FakeEngine other_{engine_.arena()};
};

TEST_F(DevicesTest, LanesOfEachAndWorkForAll) {
  Start({.lanes = 2, .max_batch_requests = 1});
  const std::vector<Call> calls = {Submit(), Submit(), Submit(), Submit(), Submit()};
  engine_.device().AwaitBatch(1);
  other_.device().AwaitBatch(1);
  EXPECT_EQ(Metric("flashcore_lanes_busy"), 4);
  EXPECT_EQ(Metric("flashcore_queue_length"), 1);
  other_.device().Release(0);
  other_.device().AwaitBatch(2);
  EXPECT_EQ(Metric("flashcore_queue_length"), 0) << "whoever is free takes it";
  engine_.device().ReleaseAll();
  other_.device().ReleaseAll();
  for (const Call& call : calls) EXPECT_EQ(call.Wait(), absl::StatusCode::kOk);
  EXPECT_EQ(Metric("flashcore_device_batches_total{device=\"0\"}"), 2);
  EXPECT_EQ(Metric("flashcore_device_batches_total{device=\"1\"}"), 3);
}

TEST_F(DevicesTest, TheDeviceWithMoreIdleLanesIsCalled) {
  Start({.lanes = 3, .max_batch_requests = 1});
  // Fill both, then let everything of the one and one lane of the other go, and wait until they idle.
  std::vector<Call> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(Submit());
  engine_.device().AwaitBatch(2);
  other_.device().AwaitBatch(2);
  other_.device().Release(0);
  for (size_t i = 0; i < 3; ++i) engine_.device().Release(i);
  while (scheduler_->idle_lanes() < 4) std::this_thread::yield();
  calls.push_back(Submit());
  engine_.device().AwaitBatch(3);
  EXPECT_EQ(other_.device().batches_started(), 3u);
}

TEST_F(DevicesTest, AFaultOfOneIsTheEndOfAll) {
  Start({.max_batch_requests = 1});
  const std::vector<Call> calls = {Submit(), Submit(), Submit()};
  engine_.device().AwaitBatch(0);
  other_.device().AwaitBatch(0);
  other_.device().Release(0, absl::InternalError("fell off the bus"));
  EXPECT_EQ(calls[2].Wait(), absl::StatusCode::kInternal);
  EXPECT_EQ(AdmitError().code(), absl::StatusCode::kInternal);
  engine_.device().Release(0);
  scheduler_.reset();
  EXPECT_EQ(faults_, 1);
  int ok = 0;
  for (const Call& call : calls) ok += call.Wait() == absl::StatusCode::kOk ? 1 : 0;
  EXPECT_EQ(ok, 1) << "what the healthy one computed";
}

}  // namespace
}  // namespace flashcore
