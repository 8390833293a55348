#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "client/verify/reference_check.h"
#include "kernels/base/mutex.h"
#include "tests/client/fake_server.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);

struct Inputs {
  Tensor q = Tensor::Random({DType::kFloat16, {1, 4, 9, 16}}, 1);
  Tensor k = Tensor::Random({DType::kFloat16, {1, 2, 13, 16}}, 2);
  Tensor v = Tensor::Random({DType::kFloat16, {1, 2, 13, 16}}, 3);
};

Client Connect(const std::string& target, int channels = 1) {
  return Client::Connect(target, {.channels = channels}).value();
}

// Opens once. What waits for it has no time limit but the test's.
class Gate {
 public:
  void Open() {
    const MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

  void Wait() {
    const MutexLock lock(mutex_);
    while (!open_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

void ExpectRight(const Inputs& in, const AttendOptions& options, const absl::StatusOr<AttendResult>& answer) {
  ASSERT_TRUE(answer.ok()) << answer.status();
  const Verdict verdict = Check(ComputeExpected(in.q, in.k, in.v, options).value(), *answer);
  EXPECT_TRUE(verdict.right) << verdict.problem;
}

TEST(ClientTest, AnswersWithEveryOption) {
  const FakeServer server;
  Client client = Connect(server.target());
  const Inputs in;
  const AttendOptions options{
      .causal = true, .sm_scale = 0.5f, .logits_soft_cap = 3, .window_left = 4, .window_right = 2, .return_lse = true};
  const absl::StatusOr<AttendResult> answer = client.Attend(in.q, in.k, in.v, options);
  ExpectRight(in, options, answer);
  EXPECT_EQ(answer->o.spec(), in.q.spec());
  ASSERT_TRUE(answer->lse.has_value());
  EXPECT_THAT(answer->lse->shape(), ElementsAre(1, 4, 9));
  EXPECT_EQ(answer->timing.kernel, "fake/reference");
  EXPECT_EQ(answer->timing.total_ns, 2);
}

TEST(ClientTest, TellsTheServerThePriority) {
  std::atomic<v1::Priority> seen = v1::PRIORITY_UNSPECIFIED;
  const FakeServer server([&seen](grpc::ServerContext&, const v1::AttendRequest& request, auto&) {
    seen = request.priority();
    return grpc::Status::OK;
  });
  Client client = Connect(server.target());
  const Inputs in;
  const std::vector<std::pair<Priority, v1::Priority>> cases = {{Priority::kLow, v1::PRIORITY_LOW},
                                                                {Priority::kNormal, v1::PRIORITY_NORMAL},
                                                                {Priority::kHigh, v1::PRIORITY_HIGH}};
  for (const auto& [priority, wire] : cases) {
    ASSERT_TRUE(client.Attend(in.q, in.k, in.v, {}, {.priority = priority}).ok());
    EXPECT_EQ(seen, wire);
    EXPECT_EQ(PriorityFromName(Name(priority)), priority);
  }
  EXPECT_EQ(PriorityFromName("urgent"), std::nullopt);
}

TEST(ClientTest, LayoutsMayDiffer) {
  const FakeServer server;
  Client client = Connect(server.target());
  Inputs in;
  in.q = Tensor::Random({DType::kFloat16, {1, 9, 4, 16}, Layout::kBshd}, 4);
  const AttendOptions options{.return_lse = true};
  const absl::StatusOr<AttendResult> answer = client.Attend(in.q, in.k, in.v, options);
  ExpectRight(in, options, answer);
  EXPECT_EQ(answer->o.layout(), Layout::kBshd);
  EXPECT_THAT(answer->lse->shape(), ElementsAre(1, 4, 9));
}

TEST(ClientTest, TensorsLargerThanASliceAndThanTheFlowControlWindow) {
  const FakeServer server;
  Client client = Connect(server.target());
  Inputs in;
  in.q = Tensor::Random({DType::kFloat32, {1, 64, 128, 128}}, 5);
  in.k = Tensor::Random({DType::kFloat32, {1, 64, 2, 128}}, 6);
  in.v = Tensor::Random({DType::kFloat32, {1, 64, 2, 128}}, 7);
  ExpectRight(in, {}, client.Attend(in.q, in.k, in.v));
}

TEST(ClientTest, OverAUnixSocket) {
  std::string directory = testing::TempDir() + "/flashcore-client-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/socket";
  {
    const FakeServer server(nullptr, path);
    Client client = Connect("unix:" + path);
    const Inputs in;
    ExpectRight(in, {}, client.Attend(in.q, in.k, in.v));
  }
  unlink(path.c_str());
  rmdir(directory.c_str());
}

TEST(ClientTest, AsyncCallsOverlapAndOutliveTheTensors) {
  const FakeServer server;
  constexpr int kCalls = 20;
  std::vector<std::future<absl::StatusOr<AttendResult>>> answers;
  Client client = Connect(server.target(), 3);
  for (int i = 0; i < kCalls; ++i) {
    const Inputs in;
    auto promise = std::make_shared<std::promise<absl::StatusOr<AttendResult>>>();
    answers.push_back(promise->get_future());
    client.AttendAsync(in.q, in.k, in.v, {}, {},
                       [promise](absl::StatusOr<AttendResult> answer) { promise->set_value(std::move(answer)); });
  }
  for (auto& answer : answers) ExpectRight(Inputs(), {}, answer.get());
}

TEST(ClientTest, DestroyingAClientCancelsItsCallsAndWaitsForThem) {
  Gate arrived;
  const FakeServer server([&arrived](grpc::ServerContext& context, const auto&, auto&) {
    arrived.Open();
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  std::atomic<int> cancelled = 0;
  {
    Client client = Connect(server.target());
    const Inputs in;
    for (int i = 0; i < 3; ++i) {
      client.AttendAsync(in.q, in.k, in.v, {}, {}, [&cancelled](const absl::StatusOr<AttendResult>& answer) {
        cancelled += answer.status().code() == absl::StatusCode::kCancelled ? 1 : 0;
      });
    }
    arrived.Wait();
  }
  EXPECT_EQ(cancelled, 3);
}

TEST(ClientTest, ClientsMayBeMadeForOneCallEach) {
  // gRPC's callback threads come and go with the last channel; a call's state must not be what holds it.
  const FakeServer server;
  const Inputs in;
  for (int i = 0; i < 100; ++i) ExpectRight(in, {}, Connect(server.target()).Attend(in.q, in.k, in.v));
}

TEST(ClientTest, KeepsTheServersCodeMessageAndRetryHint) {
  const FakeServer server([](grpc::ServerContext& context, const auto&, auto&) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "250");
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  Client client = Connect(server.target());
  const Inputs in;
  const absl::Status status = client.Attend(in.q, in.k, in.v).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the queue is full");
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(250));
}

TEST(ClientTest, RetryHintsThatAreNoNumberAreNone) {
  absl::Status status = absl::ResourceExhaustedError("full");
  EXPECT_EQ(RetryAfter(status), std::nullopt);
  SetRetryAfter(status, "-1");
  EXPECT_EQ(RetryAfter(status), std::nullopt);
  SetRetryAfter(status, "soon");
  EXPECT_EQ(RetryAfter(status), std::nullopt);
}

TEST(ClientTest, TheServerNamesTheWrongField) {
  const FakeServer server;
  Client client = Connect(server.target());
  const Inputs in;
  const absl::Status status = client.Attend(in.q, in.k, in.q).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("v.shape"));
}

TEST(ClientTest, DeadlineEndsACallThatIsNotAnswered) {
  const FakeServer server([](grpc::ServerContext& context, const auto&, auto&) {
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  Client client = Connect(server.target());
  const Inputs in;
  const absl::Status status = client.Attend(in.q, in.k, in.v, {}, {.timeout = absl::Milliseconds(50)}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(ClientTest, BorrowedMemoryIsFreeAsSoonAsAttendReturns) {
  // The deadlines fall anywhere, also in the middle of sending. A late read by gRPC would be a matter of luck, but one
  // that AddressSanitizer sees.
  const FakeServer server;
  Client client = Connect(server.target());
  const TensorSpec spec{DType::kFloat32, {1, 32, 256, 128}};
  const Tensor source = Tensor::Random(spec, 8);
  const TensorSpec small{DType::kFloat32, {1, 32, 1, 128}};
  const Tensor kv = Tensor::Random(small, 9);
  const auto* const values = static_cast<const float*>(source.data());
  for (int i = 0; i < 40; ++i) {
    auto bytes = std::make_unique<std::vector<float>>(values, values + source.elements());
    const absl::Status status =
        client.Attend(Tensor::Borrow(spec, bytes->data()), kv, kv, {}, {.timeout = absl::Microseconds(200 * i)})
            .status();
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kDeadlineExceeded) << status;
  }
}

TEST(ClientTest, AsyncRefusesBorrowedMemory) {
  const FakeServer server;
  Client client = Connect(server.target());
  const Inputs in;
  absl::Status status;
  client.AttendAsync(Tensor::Borrow(in.q.spec(), in.q.data()), in.k, in.v, {}, {},
                     [&status](const absl::StatusOr<AttendResult>& answer) { status = answer.status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(ClientTest, NobodyThere) {
  Client client = Connect("127.0.0.1:1");
  const Inputs in;
  const absl::Status status = client.Attend(in.q, in.k, in.v, {}, {.timeout = kPatience}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("127.0.0.1:1"));
}

TEST(ClientTest, AServerThatStopsFailsTheCallsUnderWay) {
  Gate arrived;
  FakeServer server([&arrived](grpc::ServerContext& context, const auto&, auto&) {
    arrived.Open();
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  Client client = Connect(server.target());
  const Inputs in;
  std::promise<absl::Status> ended;
  client.AttendAsync(in.q, in.k, in.v, {}, {},
                     [&ended](const absl::StatusOr<AttendResult>& answer) { ended.set_value(answer.status()); });
  arrived.Wait();
  server.Stop();
  EXPECT_FALSE(ended.get_future().get().ok());
}

TEST(ClientTest, RejectsAnswersThatMakeNoSense) {
  const std::vector<std::function<void(v1::AttendResponse&)>> spoils = {
      [](auto& response) { response.clear_o(); },
      [](auto& response) { response.mutable_o()->mutable_data()->pop_back(); },
      [](auto& response) { response.mutable_o()->set_dtype(v1::DTYPE_BF16); },
      [](auto& response) { response.mutable_o()->set_dtype(v1::DTYPE_UNSPECIFIED); },
      [](auto& response) { response.mutable_o()->set_shape(1, -4); },
      [](auto& response) { response.mutable_o()->set_layout(v1::LAYOUT_BSHD); },
      [](auto& response) { response.clear_lse(); },
  };
  for (const auto& spoil : spoils) {
    const FakeServer server([&spoil](grpc::ServerContext&, const auto&, v1::AttendResponse& response) {
      spoil(response);
      return grpc::Status::OK;
    });
    Client client = Connect(server.target());
    const Inputs in;
    const absl::Status status = client.Attend(in.q, in.k, in.v, {.return_lse = true}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(status.message(), HasSubstr("makes no sense"));
  }
}

TEST(ClientTest, ServerInfo) {
  const FakeServer server;
  const absl::StatusOr<ServerInfo> info = Connect(server.target()).GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version, "1.2.3");
  EXPECT_THAT(info->dtypes, ElementsAre(DType::kFloat16, DType::kFloat32));
  EXPECT_EQ(info->max_message_bytes, int64_t{1} << 40);
}

TEST(ClientTest, WaitsUntilServing) {
  FakeServer server;
  server.SetServing(false);
  Client client = Connect(server.target());
  const absl::Status early = client.WaitUntilServing(absl::Milliseconds(100));
  EXPECT_EQ(early.code(), absl::StatusCode::kDeadlineExceeded);
  std::future<absl::Status> waiting =
      std::async(std::launch::async, [&client] { return client.WaitUntilServing(kPatience); });
  server.SetServing(true);
  EXPECT_TRUE(waiting.get().ok());
}

TEST(ClientTest, WaitingForNobodyTimesOut) {
  const absl::Status status = Connect("127.0.0.1:1").WaitUntilServing(absl::Milliseconds(100));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("127.0.0.1:1 was not serving within 100ms"));
}

TEST(ClientTest, ConnectChecksItsArguments) {
  EXPECT_EQ(Client::Connect("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Client::Connect("x:1", {.channels = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace flashcore
