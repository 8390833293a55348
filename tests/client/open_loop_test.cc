// The open loop over a clock that a test moves: to the nanosecond, and on any machine.
#include "client/load/open_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "client/load/mix.h"
#include "client/load/runner.h"
#include "client/load/validity.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

// Moves when somebody sleeps, or when a test says so.
class SimulatedClock final : public LoadClock {
 public:
  int64_t NowNs() const override { return now_ns_.load(); }
  void SleepUntilNs(int64_t when_ns) override { now_ns_ = std::max(now_ns_.load(), when_ns); }
  void Advance(int64_t time_ns) { now_ns_ += time_ns; }

 private:
  std::atomic<int64_t> now_ns_ = 5'000 * kMs;
};

// A server that answers one call after the other; `service_ns` says how long each takes, by its number from 0.
class SerialServer final : public Transport {
 public:
  SerialServer(SimulatedClock& clock, std::function<int64_t(int)> service_ns)
      : clock_(clock), service_ns_(std::move(service_ns)) {}

  void Start(const CallPlan& /*plan*/, Done done) override {
    clock_.Advance(service_ns_(calls_++));
    done({});
  }

 private:
  SimulatedClock& clock_;
  const std::function<int64_t(int)> service_ns_;
  int calls_ = 0;
};

Workload SmallWorkload() {
  return Workload::Create(ParseMix("1,1,1,8").value(), {.variants = 1}, [](int, int) {}).value();
}

RunResult Simulate(const RunOptions& options, std::function<int64_t(int)> service_ns) {
  const Workload workload = SmallWorkload();
  SimulatedClock clock;
  SerialServer server(clock, std::move(service_ns));
  return Runner(server, workload, nullptr, options, clock).Run([](const RunProgress&) {});
}

TEST(OpenLoopTest, AStallIsChargedToEveryCallThatWasDue) {
  // A call every millisecond; number 1000 takes a second, during which 999 others are due.
  const RunResult result =
      Simulate({.rate = 1000, .phases = {.requests = 3000}}, [](int call) { return call == 1000 ? 1000 * kMs : 0; });
  EXPECT_EQ(result.stats.answered(), 3000);
  // From the intended start: 1000 ms, 999 ms, 998 ms, ...
  EXPECT_NEAR(static_cast<double>(result.stats.latency.CountAbove(500 * kMs)), 500, 1);
  EXPECT_NEAR(static_cast<double>(result.stats.latency.Quantile(0.99)), 971.0 * kMs, 1.0 * kMs);
  // From the send: one call was slow, and nobody else noticed.
  EXPECT_EQ(result.stats.send_latency.CountAbove(0), 1);
  EXPECT_EQ(result.stats.send_latency.Quantile(0.99), 0);
  EXPECT_EQ(result.stats.late, 998);
}

TEST(OpenLoopTest, AServerThatKeepsUpSeesTheScheduleItself) {
  const RunResult result = Simulate({.rate = 100, .phases = {.requests = 500}}, [](int) { return kMs; });
  EXPECT_EQ(result.stats.latency.max(), kMs);
  EXPECT_EQ(result.stats.send_delay.max(), 0);
  EXPECT_EQ(result.stats.late, 0);
  EXPECT_EQ(absl::ToInt64Milliseconds(result.elapsed), 4991);
}

TEST(OpenLoopTest, TheWarmUpIsNotMeasured) {
  const RunResult result = Simulate({.rate = 100, .phases = {.warmup = absl::Seconds(3), .duration = absl::Seconds(2)}},
                                    [](int call) { return call < 250 ? 9 * kMs : kMs; });
  EXPECT_EQ(result.stats.answered(), 200);
  EXPECT_EQ(result.stats.latency.max(), kMs);
}

TEST(OpenLoopTest, WhatAServerIsTooSlowForIsCountedAsUnsent) {
  // 2000 calls are due in 2 s, and each takes one: the loop gives the rest as long again, and no longer.
  const RunResult result =
      Simulate({.rate = 1000, .phases = {.duration = absl::Seconds(2)}}, [](int) { return 1000 * kMs; });
  EXPECT_EQ(result.stats.answered(), 4);
  EXPECT_EQ(result.unsent, 1996);
}

TEST(OpenLoopTest, PoissonArrivalsComeAtTheirRate) {
  const RunResult result =
      Simulate({.rate = 1000, .arrivals = ArrivalKind::kPoisson, .phases = {.duration = absl::Seconds(20)}, .seed = 3},
               [](int) { return 0; });
  EXPECT_NEAR(static_cast<double>(result.stats.answered()), 20'000, 600);
}

// Answers the oldest call, on a thread of its own, whenever `full` are waiting; and all when `total` have come.
class FullHouse final : public Transport {
 public:
  FullHouse(size_t full, int total) : full_(full), total_(total), thread_([this] { Work(); }) {}
  ~FullHouse() override { thread_.join(); }

  void Start(const CallPlan& /*plan*/, Done done) override {
    const MutexLock lock(mutex_);
    waiting_.push_back(std::move(done));
    most_waiting_ = std::max(most_waiting_, waiting_.size());
    ++started_;
    changed_.NotifyAll();
  }

  size_t most_waiting() {
    const MutexLock lock(mutex_);
    return most_waiting_;
  }

 private:
  void Work() {
    for (int answered = 0; answered < total_; ++answered) {
      Done done;
      {
        const MutexLock lock(mutex_);
        while (waiting_.empty() || (waiting_.size() < full_ && started_ < total_)) changed_.Wait(mutex_);
        done = std::move(waiting_.front());
        waiting_.pop_front();
      }
      done({});
    }
  }

  const size_t full_;
  const int total_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Done> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t most_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int started_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

TEST(OpenLoopTest, NoMoreCallsAreUnderWayThanAllowed) {
  // An answer only comes while the house is full: a loop that kept fewer under way would never end.
  const Workload workload = SmallWorkload();
  FullHouse house(4, 500);
  SteadyLoadClock clock;
  const RunResult result = Runner(house, workload, nullptr,
                                  {.rate = 1e6, .senders = 3, .max_in_flight = 4, .phases = {.requests = 500}}, clock)
                               .Run([](const RunProgress&) {});
  EXPECT_EQ(result.stats.answered(), 500);
  EXPECT_EQ(house.most_waiting(), 4U);
}

TEST(OpenLoopTest, StopEndsARunEarly) {
  const Workload workload = SmallWorkload();
  SimulatedClock clock;
  Runner* stop = nullptr;
  SerialServer server(clock, [&stop](int call) {
    if (call == 50) stop->Stop();
    return int64_t{0};
  });
  Runner runner(server, workload, nullptr, {.rate = 100, .phases = {.duration = absl::Hours(1)}}, clock);
  stop = &runner;
  const RunResult result = runner.Run([](const RunProgress&) {});
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(result.stats.answered(), 51);
  EXPECT_EQ(result.unsent, 0);
}

}  // namespace
}  // namespace flashcore
