#include "server/rpc/call_registry.h"

#include <gtest/gtest.h>

#include <thread>

namespace flashcore {
namespace {

class CountingCall final : public DrainableCall {
 public:
  void Drain() override { ++drains_; }
  int drains() const { return drains_; }

 private:
  int drains_ = 0;
};

TEST(CallRegistry, IsIdleWithoutCalls) {
  CallRegistry registry;
  EXPECT_TRUE(registry.WaitIdle(absl::ZeroDuration()));
}

TEST(CallRegistry, WaitsForTheLastCall) {
  CallRegistry registry;
  CountingCall stream;
  registry.Enter();
  registry.Add(&stream);
  EXPECT_FALSE(registry.WaitIdle(absl::ZeroDuration()));
  std::thread ender([&] {
    registry.Leave();
    registry.Remove(&stream);
  });
  EXPECT_TRUE(registry.WaitIdle(absl::Hours(1)));
  ender.join();
}

TEST(CallRegistry, TellsEachStreamOnceToDrain) {
  CallRegistry registry;
  CountingCall gone;
  CountingCall open;
  CountingCall late;
  registry.Add(&gone);
  registry.Remove(&gone);
  registry.Add(&open);
  registry.StartDrain();
  registry.Add(&late);
  EXPECT_EQ(gone.drains(), 0);
  EXPECT_EQ(open.drains(), 1);
  EXPECT_EQ(late.drains(), 1);
  registry.Remove(&open);
  registry.Remove(&late);
  EXPECT_TRUE(registry.WaitIdle(absl::ZeroDuration()));
}

}  // namespace
}  // namespace flashcore
