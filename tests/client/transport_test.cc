// Both transports against a gRPC server in this process: right answers, errors, cancelled calls, stalls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/load/grpc_transport.h"
#include "client/load/mix.h"
#include "client/load/runner.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"
#include "tests/client/fake_server.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

Workload MakeWorkload() {
  return Workload::Create(ParseMix("1,2,3,8 lse; 1,4,2,5,9,16 causal; 1,1,2,8 fp32").value(),
                          {.variants = 2, .seed = 1, .expected_answers = true}, [](int, int) {})
      .value();
}

std::unique_ptr<Transport> Make(bool streaming, const TransportOptions& options, const Workload& workload) {
  return (streaming ? MakeStreamTransport(options, workload) : MakeUnaryTransport(options, workload)).value();
}

CallOutcome Ask(Transport& transport, const CallPlan& plan) {
  std::promise<CallOutcome> promise;
  transport.Start(plan, [&promise](CallOutcome outcome) { promise.set_value(std::move(outcome)); });
  return promise.get_future().get();
}

RunResult RunLoad(Transport& transport, const Workload& workload, Verifier* verifier, const RunOptions& options) {
  SteadyLoadClock clock;
  return Runner(transport, workload, verifier, options, clock).Run([](const RunProgress&) {});
}

// Holds back what passes through it until it is opened.
class Gate {
 public:
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void WaitUntilSomebodyWaits() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  bool waiting_ = false;
};

class TransportTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(UnaryAndStream, TransportTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Stream" : "Unary"; });

TEST_P(TransportTest, EveryAnswerIsRight) {
  const FakeServer server;
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target(), .channels = 2}, workload);
  Verifier verifier(1, 1000);
  const RunResult result = RunLoad(*transport, workload, &verifier,
                                   {.concurrency = 6, .phases = {.requests = 300}, .verify_fraction = 1, .seed = 4});
  verifier.Flush();
  EXPECT_EQ(result.stats.answered(), 300);
  EXPECT_EQ(result.stats.failed(), 0);
  EXPECT_EQ(verifier.totals().checked, 300);
  EXPECT_EQ(verifier.totals().wrong, 0) << verifier.totals().first_wrong_answer;
  EXPECT_EQ(result.stats.kernel, "fake/reference");
  EXPECT_GT(result.stats.bytes_received, 0);
}

TEST_P(TransportTest, OverAUnixSocket) {
  std::string directory = testing::TempDir() + "/flashcore-load-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/socket";
  {
    const FakeServer server(nullptr, path);
    const Workload workload = MakeWorkload();
    const auto transport = Make(GetParam(), {.target = "unix:" + path}, workload);
    EXPECT_TRUE(Ask(*transport, {.request = workload.requests().data()}).status.ok());
  }
  unlink(path.c_str());
  rmdir(directory.c_str());
}

TEST_P(TransportTest, KeepsTensorsOnlyWhenAsked) {
  const FakeServer server;
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target()}, workload);
  const PreparedRequest& request = workload.requests()[0];
  const CallOutcome lean = Ask(*transport, {.request = &request});
  const CallOutcome kept = Ask(*transport, {.request = &request, .keep_answer = true});
  ASSERT_TRUE(lean.status.ok()) << lean.status;
  EXPECT_FALSE(lean.answer.has_value());
  ASSERT_TRUE(kept.answer.has_value());
  EXPECT_EQ(kept.answer->o.spec(), request.q.spec());
  EXPECT_TRUE(kept.answer->lse.has_value());
  EXPECT_EQ(lean.bytes_received, kept.bytes_received);
  EXPECT_EQ(lean.timing.total_ns, 2);
}

TEST_P(TransportTest, ErrorsKeepTheirCode) {
  const FakeServer server([](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target()}, workload);
  const CallOutcome outcome = Ask(*transport, {.request = workload.requests().data()});
  EXPECT_EQ(outcome.status, absl::ResourceExhaustedError("the queue is full"));
  EXPECT_FALSE(outcome.cancelled_by_plan);
}

TEST_P(TransportTest, AnAnswerToAnotherQuestionIsAnError) {
  const FakeServer server([](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse& response) {
    response.mutable_o()->set_shape(2, 77);
    return grpc::Status::OK;
  });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target()}, workload);
  const CallOutcome outcome = Ask(*transport, {.request = workload.requests().data()});
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcome.status.message()), ::testing::HasSubstr("77"));
}

TEST_P(TransportTest, NobodyThere) {
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = "127.0.0.1:1"}, workload);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask(*transport, {.request = workload.requests().data()}).status.code(), absl::StatusCode::kUnavailable);
  }
}

TEST_P(TransportTest, ACallThatTheServerSitsOnCanBeCancelled) {
  Gate gate;
  const FakeServer server([&gate](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&) {
    gate.Wait();
    return grpc::Status::OK;
  });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target()}, workload);
  const CallOutcome outcome =
      Ask(*transport, {.request = workload.requests().data(), .cancel_after = absl::Milliseconds(1)});
  gate.Open();
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(outcome.cancelled_by_plan);
  // The next call is as good as the first.
  EXPECT_TRUE(Ask(*transport, {.request = workload.requests().data()}).status.ok());
}

TEST_P(TransportTest, ACallThatTheServerSitsOnTimesOut) {
  Gate gate;
  const FakeServer server([&gate](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&) {
    gate.Wait();
    return grpc::Status::OK;
  });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target(), .timeout = absl::Milliseconds(200)}, workload);
  const CallOutcome outcome = Ask(*transport, {.request = workload.requests().data()});
  gate.Open();
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(TransportTest, RandomCancelsLoseNothing) {
  const FakeServer server;
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target(), .channels = 2}, workload);
  const RunResult result = RunLoad(*transport, workload, nullptr,
                                   {.concurrency = 8,
                                    .phases = {.requests = 400},
                                    .cancel_fraction = 0.3,
                                    .cancel_within = absl::Microseconds(300),
                                    .seed = 6});
  EXPECT_EQ(result.stats.ended(), 400);
  EXPECT_EQ(result.stats.failed(), 0);
}

TEST_P(TransportTest, SlowReadersGetTheirAnswers) {
  const FakeServer server;
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target(), .slow_read = absl::Milliseconds(2)}, workload);
  Verifier verifier(1, 1000);
  const RunResult result =
      RunLoad(*transport, workload, &verifier, {.concurrency = 8, .phases = {.requests = 100}, .verify_fraction = 1});
  verifier.Flush();
  EXPECT_EQ(result.stats.answered(), 100);
  EXPECT_EQ(verifier.totals().wrong, 0);
}

TEST_P(TransportTest, AServerThatGoesAwayFailsItsCallsOnly) {
  Gate gate;
  auto server =
      std::make_unique<FakeServer>([&gate](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&) {
        gate.Wait();
        return grpc::Status::OK;
      });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server->target()}, workload);
  std::promise<CallOutcome> promise;
  transport->Start({.request = workload.requests().data()},
                   [&promise](CallOutcome outcome) { promise.set_value(std::move(outcome)); });
  gate.WaitUntilSomebodyWaits();
  std::thread stopping([&server] { server->Stop(); });
  const CallOutcome outcome = promise.get_future().get();
  gate.Open();
  stopping.join();
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_FALSE(outcome.cancelled_by_plan);
  EXPECT_FALSE(Ask(*transport, {.request = workload.requests().data()}).status.ok());
}

// The server stops for a second in the middle of a schedule of two. One call is under way meanwhile, and 200 are due.
TEST_P(TransportTest, AStallOfASecondIsChargedToEveryCallThatWasDue) {
  constexpr int kStalledCall = 100;
  constexpr std::chrono::seconds kStall(1);
  std::atomic<int> calls = 0;
  std::atomic<int> calls_seen_stalling = 0;
  const FakeServer server([&](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse&) {
    if (calls++ != kStalledCall) return grpc::Status::OK;
    ++calls_seen_stalling;
    // The stall itself, not a wait for something to happen.
    std::this_thread::sleep_for(kStall);
    return grpc::Status::OK;
  });
  const Workload workload = MakeWorkload();
  const auto transport = Make(GetParam(), {.target = server.target()}, workload);
  const RunResult result =
      RunLoad(*transport, workload, nullptr, {.rate = 200, .max_in_flight = 1, .phases = {.requests = 400}});
  EXPECT_EQ(result.stats.answered(), 400);
  EXPECT_EQ(calls_seen_stalling, 1);
  // Of the 200 calls that were due in the stall, 100 were due in its first half: they wait half a second or more.
  EXPECT_GE(result.stats.latency.CountAbove(499 * kMs), 99);
  EXPECT_GE(result.stats.latency.Quantile(0.99), 900 * kMs);
  EXPECT_GE(result.stats.held_back, 100);
  // From the send, it is one slow call of 400: p99 does not know of it.
  EXPECT_LT(result.stats.send_latency.CountAbove(499 * kMs), result.stats.latency.CountAbove(499 * kMs) / 2);
  EXPECT_LT(result.stats.send_latency.Quantile(0.99), result.stats.latency.Quantile(0.99) / 2);
}

}  // namespace
}  // namespace flashcore
