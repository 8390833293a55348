// The server under full load, ended and abused again and again. Short by default, for CI; for longer:
//
//   integration_endurance_test --sigterm_rounds=20 --abuse=5m
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "tests/integration/async_calls.h"
#include "tests/integration/server_process.h"
#include "tests/integration/wire_problem.h"

ABSL_FLAG(int, sigterm_rounds, 3, "How often a loaded server is ended");
ABSL_FLAG(absl::Duration, abuse, absl::Seconds(2), "For how long calls are cancelled and answers not read");

namespace flashcore {
namespace {

using testing::AsyncCall;
using testing::AsyncCalls;
using testing::ProblemSpec;
using testing::ServerProcess;

// However slow the machine: overload is not what is tried here.
constexpr char kEverybodyGetsIn[] = "--max_backlog=1m";

const ProblemSpec kSmall = {.num_qo_heads = 2, .q_len = 16, .kv_len = 24, .head_dim = 32};

std::shared_ptr<const v1::AttendRequest> SmallRequest() {
  return std::make_shared<v1::AttendRequest>(testing::ToRequest(kSmall));
}

// O's bytes, checked.
std::string RightAnswer(ServerProcess& server) {
  AsyncCalls calls(server.Connect());
  const auto call = calls.Start(SmallRequest());
  calls.AwaitAtMost(0);
  EXPECT_TRUE(call->ok()) << call->status.error_message();
  testing::ExpectAnswers(call->response, kSmall);
  return call->response.o().data();
}

int64_t LoggedNumber(const testing::LogLine& line, const std::string& key) {
  int64_t number = -1;
  const auto found = line.find(key);
  EXPECT_TRUE(found != line.end() && absl::SimpleAtoi(found->second, &number)) << key;
  return number;
}

// What a loaded client saw of a server that was ended.
struct Seen {
  std::atomic<int64_t> answered = 0;
  std::atomic<bool> refused = false;
};

// Unary calls, a dozen at a time, until one is refused.
void LoadWithCalls(ServerProcess& server, const std::string& right_answer, Seen& seen) {
  constexpr size_t kConcurrency = 12;
  AsyncCalls calls(server.Connect());
  const auto request = SmallRequest();
  while (!seen.refused) {
    calls.AwaitAtMost(kConcurrency - 1);
    calls.Start(request, [&](const AsyncCall& call) {
      if (!call.ok()) {
        // gRPC itself ends with CANCELLED what reaches it in the moment in which it goes: never accepted, so never
        // lost.
        EXPECT_TRUE(call.status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    call.status.error_code() == grpc::StatusCode::CANCELLED)
            << call.status.error_message();
        seen.refused = true;
        return;
      }
      EXPECT_EQ(call.response.o().data(), right_answer);
      ++seen.answered;
    });
  }
}

// One stream, written and read as fast as it goes, until the server ends it.
void LoadWithStream(ServerProcess& server, const std::string& right_answer, Seen& seen) {
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  v1::AttendStreamRequest request;
  *request.mutable_request() = *SmallRequest();
  std::thread writer([&stream, &request] {
    while (stream->Write(request)) {
    }
  });
  v1::AttendStreamResponse response;
  while (stream->Read(&response)) {
    if (response.has_error()) {
      EXPECT_EQ(response.error().code(), grpc::StatusCode::UNAVAILABLE) << response.error().message();
      continue;
    }
    EXPECT_EQ(response.response().o().data(), right_answer);
    ++seen.answered;
  }
  writer.join();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(EnduranceTest, SigtermUnderFullLoadLosesNoAcceptedCall) {
  const int rounds = absl::GetFlag(FLAGS_sigterm_rounds);
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(::testing::Message() << "round " << round);
    ServerProcess server({"--backend=cpu", kEverybodyGetsIn});
    const std::string right_answer = RightAnswer(server);
    Seen seen;
    std::vector<std::thread> clients;
    for (int i = 0; i < 2; ++i) {
      clients.emplace_back([&] { LoadWithCalls(server, right_answer, seen); });
      clients.emplace_back([&] { LoadWithStream(server, right_answer, seen); });
    }
    while (seen.answered < 200) std::this_thread::yield();
    server.Signal(SIGTERM);
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(server.Wait(), 0);
    const testing::LogLine stopped = server.WaitForLog("stopped");
    EXPECT_EQ(LoggedNumber(stopped, "answered"), seen.answered + 1) << "what the server says it answered came here";
    EXPECT_EQ(LoggedNumber(stopped, "cancelled"), 0);
  }
}

// Unary calls of which three in ten are cancelled, some at once, some when others have come behind them.
void CancelAtRandom(ServerProcess& server, const std::string& right_answer, uint32_t seed,
                    const std::atomic<bool>& stop) {
  constexpr size_t kConcurrency = 32;
  std::mt19937 random(seed);
  AsyncCalls calls(server.Connect());
  const auto request = SmallRequest();
  std::deque<std::shared_ptr<AsyncCall>> recent;
  while (!stop) {
    calls.AwaitAtMost(kConcurrency - 1);
    recent.push_back(calls.Start(request, [&right_answer](const AsyncCall& call) {
      if (call.ok()) {
        EXPECT_EQ(call.response.o().data(), right_answer);
      } else {
        EXPECT_EQ(call.status.error_code(), grpc::StatusCode::CANCELLED) << call.status.error_message();
      }
    }));
    if (random() % 10 < 3) recent[random() % recent.size()]->context.TryCancel();
    if (recent.size() > kConcurrency) recent.pop_front();
  }
}

// Streams that ask for much and read little of it, and then half of them read on and half of them go away.
void ReadSlowly(ServerProcess& server, const std::string& right_answer, uint32_t seed, const std::atomic<bool>& stop) {
  constexpr int kRequests = 200;  // More than the server answers ahead.
  std::mt19937 random(seed);
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  v1::AttendStreamRequest request;
  *request.mutable_request() = *SmallRequest();
  while (!stop) {
    grpc::ClientContext context;
    const auto stream = stub->AttendStream(&context);
    std::thread writer([&stream, &request] {
      for (int i = 0; i < kRequests && stream->Write(request); ++i) {
      }
      stream->WritesDone();
    });
    const bool goes_away = random() % 2 == 0;
    const int reads = goes_away ? static_cast<int>(random() % 20) : kRequests;
    v1::AttendStreamResponse response;
    for (int i = 0; i < reads; ++i) {
      const bool read = stream->Read(&response);
      EXPECT_TRUE(read);
      if (!read) break;
      EXPECT_TRUE(response.has_response()) << response.error().message();
      EXPECT_EQ(response.response().o().data(), right_answer);
    }
    if (goes_away) context.TryCancel();
    writer.join();
    EXPECT_EQ(stream->Finish().error_code(), goes_away ? grpc::StatusCode::CANCELLED : grpc::StatusCode::OK);
  }
}

TEST(EnduranceTest, CancelledCallsAndSlowReadersLeaveNothingBehind) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  ServerProcess server({"--backend=cpu", "--lanes=2", kEverybodyGetsIn});
  const std::string right_answer = RightAnswer(server);
  std::atomic<bool> stop = false;
  std::vector<std::thread> clients;
  for (uint32_t i = 0; i < 2; ++i) {
    clients.emplace_back([&, i] { CancelAtRandom(server, right_answer, seed + i, stop); });
    clients.emplace_back([&, i] { ReadSlowly(server, right_answer, seed + i, stop); });
  }
  std::this_thread::sleep_for(absl::ToChronoMilliseconds(absl::GetFlag(FLAGS_abuse)));  // How long it lasts.
  stop = true;
  for (std::thread& client : clients) client.join();

  server.WaitForMetricAtMost("flashcore_requests_in_flight", 0);
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
  EXPECT_EQ(server.Metric("flashcore_queue_length"), 0);
  server.WaitForMetricAtMost("flashcore_lanes_busy", 0);
  EXPECT_EQ(RightAnswer(server), right_answer);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << "no call is stuck";
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
