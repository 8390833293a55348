// A server with more to do than it can: what it accepts it answers, rightly, and the rest it turns away with a hint.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/integration/async_calls.h"
#include "tests/integration/server_process.h"
#include "tests/integration/slow_call.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using testing::AsyncCall;
using testing::AsyncCalls;
using testing::OccupyLane;
using testing::ProblemSpec;
using testing::ServerProcess;
using Clock = std::chrono::steady_clock;

constexpr char kAnswered[] = R"(flashcore_requests_total{code="OK",method="Attend"})";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // Its own memory grows.
#else
constexpr bool kSanitized = false;
#endif

std::shared_ptr<const v1::AttendRequest> Share(const ProblemSpec& spec) {
  return std::make_shared<v1::AttendRequest>(testing::ToRequest(spec));
}

// Much to compute for its bytes, so that the client's share of the machine is small.
const ProblemSpec kDense = {.q_len = kSanitized ? 256 : 640, .kv_len = kSanitized ? 256 : 640, .head_dim = 8};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Answers per second of a server that always has a few more to do, over `count` answers.
double PeakRate(AsyncCalls& calls, const std::shared_ptr<const v1::AttendRequest>& request, int count) {
  constexpr size_t kConcurrency = 8;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < count; ++i) {
    calls.AwaitAtMost(kConcurrency - 1);
    calls.Start(request, [](const AsyncCall& call) { EXPECT_TRUE(call.ok()) << call.status.error_message(); });
  }
  calls.AwaitAtMost(0);
  return count / Seconds(Clock::now() - start);
}

struct Overload {
  std::atomic<int> answered = 0;
  std::atomic<int> turned_away = 0;
  std::string first_answer;  // O's bytes; every other's must be the same.

  void Count(const AsyncCall& call);
};

void Overload::Count(const AsyncCall& call) {
  if (call.ok()) {
    EXPECT_EQ(call.response.o().data(), first_answer);
    ++answered;
    return;
  }
  EXPECT_EQ(call.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << call.status.error_message();
  EXPECT_GE(call.RetryAfterMs(), 10);
  EXPECT_LE(call.RetryAfterMs(), 10'000);
  ++turned_away;
}

TEST(LoadTest, TenTimesTheRateItCanServe) {
  constexpr int kAnswers = 100;
  ServerProcess server({"--backend=reference", "--max_queue_length=32", "--max_batch_requests=4"});
  AsyncCalls calls(server.Connect());
  const auto request = Share(kDense);
  const double peak_rate = PeakRate(calls, request, kAnswers);
  const int64_t before_bytes = server.ResidentBytes();

  Overload overload;
  calls.Start(request, [&overload](const AsyncCall& call) { overload.first_answer = call.response.o().data(); });
  calls.AwaitAtMost(0);
  const auto interval = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(0.1 / peak_rate));
  const Clock::time_point start = Clock::now();
  for (Clock::time_point due = start; overload.answered < kAnswers; due += interval) {
    std::this_thread::sleep_until(due);  // The arrivals; nothing waits for this.
    calls.Start(request, [&overload](const AsyncCall& call) { overload.Count(call); });
  }
  const double goodput = kAnswers / Seconds(Clock::now() - start);
  calls.AwaitAtMost(0);
  std::printf("peak %.1f/s, goodput at 10x %.1f/s, %d turned away\n", peak_rate, goodput, overload.turned_away.load());

  EXPECT_GT(overload.turned_away, 0);
  server.WaitForMetric(kAnswered, kAnswers + 1 + overload.answered);
  EXPECT_EQ(server.Metric(kAnswered), kAnswers + 1 + overload.answered);
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
  server.WaitForMetricAtMost("flashcore_requests_in_flight", 0);
  EXPECT_EQ(server.Metric("flashcore_queue_length"), 0);
  constexpr int64_t kRoomBytes = int64_t{64} << 20;
  EXPECT_TRUE(kSanitized || server.ResidentBytes() < before_bytes + kRoomBytes) << server.ResidentBytes();
}

// Fifty shapes of every kind, small enough for the reference.
std::vector<ProblemSpec> FiftyShapes(uint32_t seed) {
  std::mt19937 random(seed);
  const auto pick = [&random](int64_t least, int64_t greatest) {
    return std::uniform_int_distribution<int64_t>(least, greatest)(random);
  };
  std::vector<ProblemSpec> specs;
  for (uint64_t i = 0; i < 50; ++i) {
    const int64_t kv_heads = pick(1, 2);
    specs.push_back({.dtype = static_cast<DType>(pick(0, 2)),
                     .batch = pick(1, 2),
                     .num_qo_heads = kv_heads * pick(1, 3),
                     .num_kv_heads = kv_heads,
                     .q_len = pick(1, 70),
                     .kv_len = pick(1, 90),
                     .head_dim = 8 * pick(1, 16),
                     .options = {.causal = pick(0, 1) == 1},
                     .layout = static_cast<testing::Layout>(pick(0, 1)),
                     .return_lse = pick(0, 1) == 1,
                     .seed = i});
  }
  return specs;
}

TEST(LoadTest, FiftyShapesShareLaunchesAndEachGetsItsOwnAnswer) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  for (const char* backend : {"--backend=cpu", "--backend=reference"}) {
    ServerProcess server({backend});
    AsyncCalls calls(server.Connect());
    std::vector<std::pair<ProblemSpec, std::shared_ptr<AsyncCall>>> started;
    for (const ProblemSpec& spec : FiftyShapes(seed)) started.emplace_back(spec, calls.Start(Share(spec)));
    calls.AwaitAtMost(0);
    for (const auto& [spec, call] : started) {
      ASSERT_TRUE(call->ok()) << call->status.error_message();
      testing::ExpectAnswers(call->response, spec);
    }
    EXPECT_EQ(server.Metric("flashcore_batch_requests_sum"), 50);
  }
}

TEST(LoadTest, WhatGathersWhileTheLaneIsBusySharesOneLaunch) {
  ServerProcess server({"--backend=reference"});
  const auto blocker = OccupyLane(server);
  AsyncCalls calls(server.Connect());
  std::vector<std::pair<ProblemSpec, std::shared_ptr<AsyncCall>>> started;
  for (const ProblemSpec& spec : FiftyShapes(/*seed=*/7)) started.emplace_back(spec, calls.Start(Share(spec)));
  server.WaitForMetric("flashcore_queue_length", 50);
  calls.AwaitAtMost(0);
  EXPECT_TRUE(blocker->Join().ok());
  for (const auto& [spec, call] : started) {
    ASSERT_TRUE(call->ok()) << call->status.error_message();
    EXPECT_EQ(call->response.timing().batch_size(), 50);
    testing::ExpectAnswers(call->response, spec);
  }
}

TEST(LoadTest, TwoEnginesBehindOneQueue) {
  ServerProcess server({"--backend=reference", "--devices=0,1", "--max_batch_requests=1"});
  const auto first = OccupyLane(server);
  testing::BackgroundCall second(server, testing::SlowSpec());
  server.WaitForMetric("flashcore_lanes_busy", 2);
  EXPECT_EQ(server.Metric("flashcore_lanes"), 2);
  AsyncCalls calls(server.Connect());
  std::vector<std::pair<ProblemSpec, std::shared_ptr<AsyncCall>>> started;
  for (const ProblemSpec& spec : FiftyShapes(/*seed=*/8)) started.emplace_back(spec, calls.Start(Share(spec)));
  calls.AwaitAtMost(0);
  for (const auto& [spec, call] : started) {
    ASSERT_TRUE(call->ok()) << call->status.error_message();
    testing::ExpectAnswers(call->response, spec);
  }
  EXPECT_TRUE(first->Join().ok());
  EXPECT_TRUE(second.Join().ok());
  EXPECT_GE(server.Metric(R"(flashcore_device_batches_total{device="0"})"), 1);
  EXPECT_GE(server.Metric(R"(flashcore_device_batches_total{device="1"})"), 1);
  EXPECT_EQ(server.Metric("flashcore_batches_total"), 52);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST(LoadTest, TheServerWithoutComputeAnswersInTheRightShape) {
  ServerProcess server({"--backend=passthrough", "--allow_passthrough"});
  AsyncCalls calls(server.Connect());
  const auto call = calls.Start(Share({.q_len = 5, .kv_len = 7, .head_dim = 16}));
  calls.AwaitAtMost(0);
  ASSERT_TRUE(call->ok()) << call->status.error_message();
  EXPECT_EQ(call->response.o().data().size(), call->request->q().data().size());
  EXPECT_EQ(call->response.timing().kernel(), "passthrough");
}

}  // namespace
}  // namespace flashcore
