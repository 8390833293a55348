// Who goes first, seen from outside: by the server's own clock, in the answers' queue_ns. Everything is queued behind a
// call that keeps the only lane busy, earlier calls wait longer than later ones, and so one that waited less went
// first.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/scheduler/request_order.h"
#include "tests/integration/async_calls.h"
#include "tests/integration/server_process.h"
#include "tests/integration/slow_call.h"
#include "tests/integration/temporary_folder.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using testing::AsyncCall;
using testing::AsyncCalls;
using testing::OccupyLane;
using testing::ServerProcess;

constexpr int kPlaces = 64;

using Calls = std::vector<std::shared_ptr<AsyncCall>>;

std::shared_ptr<const v1::AttendRequest> SmallRequest(v1::Priority priority = v1::PRIORITY_UNSPECIFIED) {
  auto request = std::make_shared<v1::AttendRequest>(testing::ToRequest({.q_len = 4, .kv_len = 8}));
  request->set_priority(priority);
  return request;
}

// Starts so many, and returns when they are queued behind `already`.
Calls Enqueue(ServerProcess& server, AsyncCalls& connection, int count, int already,
              const std::shared_ptr<const v1::AttendRequest>& request) {
  Calls calls;
  for (int i = 0; i < count; ++i) calls.push_back(connection.Start(request));
  server.WaitForMetric("flashcore_queue_length", already + count);
  return calls;
}

std::vector<int64_t> QueueTimes(const Calls& calls) {
  std::vector<int64_t> times_ns;
  for (const auto& call : calls) {
    EXPECT_TRUE(call->ok()) << call->status.error_message();
    times_ns.push_back(call->response.timing().queue_ns());
  }
  return times_ns;
}

// How many of `calls` left the queue after all of `others`, which were queued later.
int64_t CountServedAfter(const Calls& calls, const Calls& others) {
  const std::vector<int64_t> other_times_ns = QueueTimes(others);
  const int64_t longest_ns = *std::max_element(other_times_ns.begin(), other_times_ns.end());
  const std::vector<int64_t> times_ns = QueueTimes(calls);
  return std::count_if(times_ns.begin(), times_ns.end(), [longest_ns](int64_t ns) { return ns > longest_ns; });
}

TEST(FairnessTest, AModestConnectionIsNotStuckBehindAGreedyOne) {
  ServerProcess server({"--backend=reference", "--max_batch_requests=4"});
  const auto blocker = OccupyLane(server);
  AsyncCalls greedy(server.Connect());
  AsyncCalls modest(server.Connect());
  const Calls greedy_calls = Enqueue(server, greedy, 100, 0, SmallRequest());
  const Calls modest_calls = Enqueue(server, modest, 4, 100, SmallRequest());
  greedy.AwaitAtMost(0);
  modest.AwaitAtMost(0);
  EXPECT_TRUE(blocker->Join().ok());
  EXPECT_GE(CountServedAfter(greedy_calls, modest_calls), 80);
}

// Of two connections to `address`.
void ExpectAGreedyConnectionCannotFillTheQueue(ServerProcess& server, const std::string& address) {
  const auto blocker = OccupyLane(server);
  AsyncCalls greedy(ServerProcess::ConnectTo(address));
  AsyncCalls modest(ServerProcess::ConnectTo(address));
  Calls greedy_calls;
  for (int i = 0; i < 2 * kPlaces; ++i) greedy_calls.push_back(greedy.Start(SmallRequest()));
  server.WaitForMetric(R"(flashcore_rejections_total{reason="connection_share"})", kPlaces);
  const auto held = static_cast<int>(server.Metric("flashcore_queue_length"));
  EXPECT_LT(held, kPlaces);
  const Calls modest_calls = Enqueue(server, modest, 4, held, SmallRequest());
  greedy.AwaitAtMost(0);
  modest.AwaitAtMost(0);
  EXPECT_TRUE(blocker->Join().ok());
  for (const auto& call : modest_calls) EXPECT_TRUE(call->ok()) << call->status.error_message();
  for (const auto& call : greedy_calls) {
    if (call->ok()) continue;
    EXPECT_EQ(call->status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << call->status.error_message();
    EXPECT_GE(call->RetryAfterMs(), 10);
  }
  EXPECT_EQ(server.Metric(R"(flashcore_rejections_total{reason="queue_full"})"), 0);
}

TEST(FairnessTest, AGreedyConnectionCannotFillTheQueue) {
  ServerProcess server({"--backend=reference", absl::StrCat("--max_queue_length=", kPlaces)});
  ExpectAGreedyConnectionCannotFillTheQueue(server, server.address());
}

TEST(FairnessTest, ConnectionsOfAUnixSocketAreToldApart) {
  const testing::TemporaryFolder folder;
  ServerProcess server({"--backend=reference", absl::StrCat("--max_queue_length=", kPlaces),
                        absl::StrCat("--unix_socket=", folder / "socket")});
  ExpectAGreedyConnectionCannotFillTheQueue(server, server.unix_address());
}

TEST(FairnessTest, HighBeforeLowAndLowIsNotLost) {
  ServerProcess server({"--backend=reference", "--max_batch_requests=2"});
  const auto blocker = OccupyLane(server);
  AsyncCalls connection(server.Connect());
  const Calls low = Enqueue(server, connection, 40, 0, SmallRequest(v1::PRIORITY_LOW));
  EXPECT_EQ(server.Metric(R"(flashcore_priority_queue_length{priority="low"})"), 40);
  const Calls high = Enqueue(server, connection, 8, 40, SmallRequest(v1::PRIORITY_HIGH));
  connection.AwaitAtMost(0);
  EXPECT_TRUE(blocker->Join().ok());
  EXPECT_GE(CountServedAfter(low, high), 40 - 1 - 8 / kOldestTurn) << "all but those that went by age";
}

TEST(FairnessTest, TheEarlierDeadlineFirst) {
  ServerProcess server({"--backend=reference", "--max_batch_requests=1"});
  const auto blocker = OccupyLane(server);
  AsyncCalls connection(server.Connect());
  const Calls patient = Enqueue(server, connection, 10, 0, SmallRequest());
  auto urgent_stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  v1::AttendResponse response;
  ASSERT_TRUE(urgent_stub->Attend(&context, *SmallRequest(), &response).ok());
  connection.AwaitAtMost(0);
  EXPECT_TRUE(blocker->Join().ok());
  const std::vector<int64_t> patient_ns = QueueTimes(patient);
  EXPECT_GE(std::count_if(patient_ns.begin(), patient_ns.end(),
                          [&response](int64_t ns) { return ns > response.timing().queue_ns(); }),
            9)
      << "all but one that may have gone by age";
}

}  // namespace
}  // namespace flashcore
