// Both tools as a user starts them, against a server in this process: what they print and how they exit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/attend/npy.h"
#include "client/tensor.h"
#include "tests/client/fake_server.h"
#include "tests/client/shell.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Whether the machine of a test has the CPU for a valid run is nothing that a test may depend on.
constexpr char kAllowInvalid[] = " --allow_invalid ";

Outcome Load(const std::string& flags) { return Shell(absl::StrCat(FLASHCORE_LOAD, kAllowInvalid, flags)); }
Outcome Attend(const std::string& flags) { return Shell(absl::StrCat(FLASHCORE_ATTEND, " ", flags)); }

std::string Target(const FakeServer& server) { return absl::StrCat(" --target=", server.target(), " "); }

FakeServer::Twist WrongAnswers() {
  return [](grpc::ServerContext&, const v1::AttendRequest&, v1::AttendResponse& response) {
    response.mutable_o()->mutable_data()->at(1) ^= 0x40;
    return grpc::Status::OK;
  };
}

constexpr char kSmallMix[] = " --mix='1,2,16,8; 1,4,2,5,9,16 bf16 causal lse' --warmup=0 ";

TEST(LoadToolTest, CountsVerifiesAndSucceeds) {
  const FakeServer server;
  const Outcome outcome = Load(Target(server) + kSmallMix + "--requests=50 --concurrency=3 --verify=1 --seed=9");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("50 answered, 0 failed"), HasSubstr("50 answers, 0 wrong"),
                                    HasSubstr("seed 9"), HasSubstr("fake/reference")));
}

TEST(LoadToolTest, JsonOnStandardOutputIsOnlyJson) {
  const FakeServer server;
  const std::string path = testing::TempDir() + "/flashcore_tools_test.json";
  const Outcome outcome = Shell(absl::StrCat("(", FLASHCORE_LOAD, kAllowInvalid, Target(server), kSmallMix,
                                             "--requests=20 --json=- >", path, ")"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("20 answered"));
  std::ifstream file(path);
  const nlohmann::json json = nlohmann::json::parse(file);
  EXPECT_EQ(json["answered"], 20);
  EXPECT_EQ(json["good"], true);
  EXPECT_GT(json["latency_ms"]["p99"], 0);
}

nlohmann::json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

TEST(LoadToolTest, ASweepIsWrittenEverywhere) {
  const FakeServer server;
  const std::string base = testing::TempDir() + "/flashcore_sweep_test";
  const Outcome outcome =
      Load(Target(server) + kSmallMix + "--mode=stream --concurrency=1:4:*2 --requests=30 --verify=1 --json=" + base +
           ".json --csv=" + base + ".csv --html=" + base + ".html");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(ReadJson(base + ".json")["points"].size(), 3U);
  std::ifstream html(base + ".html");
  const std::string page{std::istreambuf_iterator<char>(html), std::istreambuf_iterator<char>()};
  EXPECT_THAT(page, AllOf(HasSubstr("<!doctype html>"), HasSubstr("Points")));
  std::ifstream csv(base + ".csv");
  const std::string table{std::istreambuf_iterator<char>(csv), std::istreambuf_iterator<char>()};
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4);
}

TEST(LoadToolTest, AnOpenLoopReportsBothLatencies) {
  const FakeServer server;
  const std::string path = testing::TempDir() + "/flashcore_open_loop_test.json";
  const Outcome outcome =
      Load(Target(server) + kSmallMix + "--rate=500 --arrivals=poisson --requests=200 --seed=5 --json=" + path);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("open loop, 500/s, Poisson arrivals"), HasSubstr("seed 5"),
                                    HasSubstr("from intended"), HasSubstr("from send")));
  const nlohmann::json json = ReadJson(path);
  EXPECT_EQ(json["answered"], 200);
  EXPECT_GE(json["latency_ms"]["p99"], json["send_latency_ms"]["p99"]);
}

TEST(LoadToolTest, AServerThatStallsMakesNoInvalidRun) {
  // One call at a time, and each takes the server 50 ms: of 100 calls due a second, 20 get through at most.
  const FakeServer server([](grpc::ServerContext&, const auto&, auto&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return grpc::Status::OK;
  });
  const Outcome outcome =
      Load(Target(server) + kSmallMix + "--rate=100 --max_in_flight=1 --requests=20 --wait_ready=30s");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("the server did not keep up"), HasSubstr("20 answered")));
}

TEST(LoadToolTest, AMissingMetricsEndpointIsSaidAndNoFailure) {
  const FakeServer server;
  const Outcome outcome = Load(Target(server) + kSmallMix + "--requests=5 --metrics=127.0.0.1:1");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("no metrics: 127.0.0.1:1"));
}

TEST(LoadToolTest, MemoryStaysFlatWhateverTheNumberOfRequests) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer keeps what is freed";
#endif
  const FakeServer server;
  const std::string path = testing::TempDir() + "/flashcore_memory_test.json";
  for (const char* mode : {"unary", "stream"}) {
    const Outcome outcome =
        Load(Target(server) + "--mix=1,1,1,8 --warmup=300ms --requests=20000 --concurrency=16 --mode=" + mode +
             " --json=" + path);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    // What remains are the histograms and gRPC's own pools; 20,000 requests that kept 1 KiB each would be 20 MiB.
    EXPECT_LT(ReadJson(path)["client"]["memory_growth_bytes"].get<int64_t>(), 16 << 20) << mode;
  }
}

// How many requests of each priority came.
class PriorityCount {
 public:
  FakeServer::Twist Twist() {
    return [this](grpc::ServerContext&, const v1::AttendRequest& request, v1::AttendResponse&) {
      ++counts_.at(static_cast<size_t>(request.priority()));
      return grpc::Status::OK;
    };
  }
  int of(v1::Priority priority) const { return counts_.at(static_cast<size_t>(priority)); }

 private:
  std::array<std::atomic<int>, v1::Priority_ARRAYSIZE> counts_{};
};

TEST(LoadToolTest, EntriesWithoutAPriorityHaveThatOfTheFlag) {
  for (const char* mode : {"unary", "stream"}) {
    PriorityCount count;
    const FakeServer server(count.Twist());
    const Outcome outcome =
        Load(Target(server) + "--mix='1,1,1,8; 1,1,2,8 priority=high' --priority=low --mode=" + mode +
             " --requests=100 --warmup=0");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(count.of(v1::PRIORITY_LOW) + count.of(v1::PRIORITY_HIGH), 100);
    EXPECT_GT(count.of(v1::PRIORITY_LOW), 0);
    EXPECT_GT(count.of(v1::PRIORITY_HIGH), 0);
  }
}

TEST(AttendToolTest, SaysItsPriority) {
  PriorityCount count;
  const FakeServer server(count.Twist());
  EXPECT_EQ(Attend(Target(server) + "--shape=1,1,1,8 --priority=high").exit_code, 0);
  EXPECT_EQ(count.of(v1::PRIORITY_HIGH), 1);
}

TEST(LoadToolTest, WrongAnswersFailTheRun) {
  const FakeServer server(WrongAnswers());
  const Outcome outcome = Load(Target(server) + kSmallMix + "--requests=10 --verify=1");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("10 answered, 0 failed"), HasSubstr("10 wrong"), HasSubstr("WRONG")));
}

TEST(LoadToolTest, ErrorsFailTheRunAndAreListed) {
  const FakeServer server([](grpc::ServerContext&, const auto&, auto&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  const Outcome outcome = Load(Target(server) + kSmallMix + "--requests=2");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("RESOURCE_EXHAUSTED x 2: the queue is full"));
}

TEST(LoadToolTest, NobodyThere) {
  const Outcome outcome = Load("--target=127.0.0.1:1 --wait_ready=100ms");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("127.0.0.1:1 was not serving within 100ms"));
}

TEST(LoadToolTest, BuiltInMixesLeaveOutWhatTheServerLacks) {
  const FakeServer server;
  const Outcome outcome = Load(Target(server) + "--mix=mixed --requests=3 --warmup=0 --variants=1");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("the server has no bf16"));
}

TEST(LoadToolTest, UsageErrorsSayWhatToDo) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--concurency=3", "Did you mean --concurrency?"},
      {"--concurrency=x", "--concurrency: cannot read 'x'"},
      {"--concurrency=4:1:*2", "--concurrency: cannot read"},
      {"--rate=5 --concurrency=3", "--concurrency is a closed loop's"},
      {"--rate=5 --search_p99=1ms", "leave --rate out"},
      {"--mode=both", "--mode=both: must be unary or stream"},
      {"--concurrency=0", "--concurrency=0: must be from 1"},
      {"--priority=urgent", "--priority=urgent: must be low, normal or high"},
      {"--verify=2", "--verify=2: must be from 0"},
      {"--duration=-1s", "--duration=-1s: must be above 0"},
      {"--duration=10", "--duration: cannot read '10'"},
      {"--mix=1,2,3", "--mix: in \"1,2,3\""},
      {"--mix=@/nonexistent", "cannot read /nonexistent"},
      {"--target=", "--target: is empty"},
      {"--seed", "--seed: needs a value"},
      {"fast", "'fast': no argument is expected"},
  };
  for (const auto& [flags, complaint] : cases) {
    const Outcome outcome = Load(flags);
    EXPECT_EQ(outcome.exit_code, 2) << flags;
    EXPECT_THAT(outcome.output, HasSubstr(complaint));
  }
}

TEST(ToolsTest, HelpListsTheFlagsWithDefaults) {
  const Outcome load = Load("--help");
  EXPECT_EQ(load.exit_code, 0);
  EXPECT_THAT(load.output, AllOf(HasSubstr("--concurrency (default 1)"), HasSubstr("Exit code:")));
  const Outcome attend = Attend("--help");
  EXPECT_EQ(attend.exit_code, 0);
  EXPECT_THAT(attend.output, AllOf(HasSubstr("--sm_scale"), Not(HasSubstr("--concurrency"))));
}

TEST(AttendToolTest, RandomTensors) {
  const FakeServer server;
  const Outcome outcome =
      Attend(Target(server) + "--shape=1,4,2,9,13,16 --dtype=bf16 --layout bshd --causal --lse --verify");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("bf16 [1, 9, 4, 16] bshd"), HasSubstr("lse"), HasSubstr("right"),
                                    HasSubstr("fake/reference")));
}

TEST(AttendToolTest, FilesInAndOut) {
  const FakeServer server;
  const std::string dir = testing::TempDir() + "/flashcore_tools_";
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 2, 3, 8}}, 1);
  ASSERT_TRUE(WriteNpyFile(q, dir + "q.npy").ok());
  const std::string inputs = absl::StrCat("--q=", dir, "q.npy --k=", dir, "q.npy --v=", dir, "q.npy ");
  const Outcome outcome = Attend(Target(server) + inputs + "--window_right=0 --out=" + dir + "o.npy --lse_out=" + dir +
                                 "lse.npy --verify --json");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const nlohmann::json json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json["verified"]["right"], true);
  const Tensor o = ReadNpyFile(dir + "o.npy", Layout::kBhsd, DType::kFloat16).value();
  EXPECT_EQ(o.spec(), q.spec());
  // The first query sees the first key only.
  EXPECT_EQ(o.At(0), q.At(0));
  EXPECT_TRUE(ReadNpyFile(dir + "lse.npy", Layout::kBhsd, DType::kFloat32).ok());
}

TEST(AttendToolTest, AWrongAnswerFails) {
  const FakeServer server(WrongAnswers());
  const Outcome outcome = Attend(Target(server) + "--shape=1,1,4,8 --verify");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("WRONG"));
}

TEST(AttendToolTest, Mistakes) {
  const FakeServer server;
  const std::vector<std::pair<std::string, std::string>> usage = {
      {"--dtype=int8", "--dtype=int8: must be fp16, bf16 or fp32"},
      {"--layout=sbhd", "--layout=sbhd: must be"},
      {"--shape=1,2,3", "--shape=1,2,3: must be"},
      {"--shape='1,1,1,8 causal'", "must be B,H,S,D"},
      {"--q=/nonexistent.npy --k=x --v=y", "/nonexistent.npy: cannot be opened"},
      {"--q=a.npy", "a.npy: cannot be opened"},
      {"--k=a.npy", "give all three"},
      {"--priority=", "--priority=: must be low, normal or high"},
      {"--timeout=0", "--timeout: must be above 0"},
      {"--causal=perhaps", "--causal: cannot read 'perhaps'"},
  };
  for (const auto& [flags, complaint] : usage) {
    const Outcome outcome = Attend(flags);
    EXPECT_EQ(outcome.exit_code, 2) << flags;
    EXPECT_THAT(outcome.output, HasSubstr(complaint));
  }
  const Outcome refused = Attend(Target(server) + "--shape=1,3,2,4,4,8");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("INVALID_ARGUMENT"));
  const Outcome nobody = Attend("--target=127.0.0.1:1");
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.output, HasSubstr("UNAVAILABLE"));
}

}  // namespace
}  // namespace flashcore
