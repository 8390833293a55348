// Attend, against the reference.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "flashcore/v1/attention.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/wire_problem.h"
#include "tests/kernels/grid.h"

namespace flashcore {
namespace {

using testing::ExpectAnswers;
using testing::GridCase;
using testing::ProblemSpec;
using testing::ServerProcess;
using testing::ToRequest;

class AttendTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new ServerProcess({"--backend=cpu"}); }
  static void TearDownTestSuite() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->Wait(), 0);
    delete server_;
  }

  static void ExpectServed(v1::AttentionService::Stub& stub, const ProblemSpec& spec) {
    SCOPED_TRACE(ToString(spec));
    grpc::ClientContext context;
    v1::AttendResponse response;
    const grpc::Status status = stub.Attend(&context, ToRequest(spec), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ExpectAnswers(response, spec);
  }

  static ServerProcess* server_;
  std::unique_ptr<v1::AttentionService::Stub> stub_ = v1::AttentionService::NewStub(server_->Connect());
};

ServerProcess* AttendTest::server_ = nullptr;

TEST_F(AttendTest, FoundingCases) {
  for (const GridCase& founding : testing::FoundingGrid(DType::kFloat16)) {
    SCOPED_TRACE(founding.name);
    for (const ProblemSpec& spec : founding.specs) ExpectServed(*stub_, spec);
  }
}

TEST_F(AttendTest, DTypesAndLayouts) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (const testing::Layout layout : {testing::Layout::kBhsd, testing::Layout::kBshd}) {
      ExpectServed(*stub_, {.dtype = dtype,
                            .batch = 2,
                            .num_qo_heads = 4,
                            .num_kv_heads = 2,
                            .q_len = 17,
                            .kv_len = 45,
                            .head_dim = 72,
                            .layout = layout});
    }
  }
}

TEST_F(AttendTest, EachTensorHasItsOwnLayout) {
  const ProblemSpec spec = {.batch = 2, .num_qo_heads = 1, .q_len = 9, .kv_len = 21, .head_dim = 32};
  v1::AttendRequest request = ToRequest(spec);
  // With one head the two orders are the same bytes.
  request.mutable_k()->set_layout(v1::LAYOUT_BSHD);
  request.mutable_k()->set_shape(1, spec.kv_len);
  request.mutable_k()->set_shape(2, 1);
  grpc::ClientContext context;
  v1::AttendResponse response;
  const grpc::Status status = stub_->Attend(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ExpectAnswers(response, spec);
}

TEST_F(AttendTest, Options) {
  const AttentionOptions rows[] = {
      {.causal = true},
      {.sm_scale = 0.5f},
      {.logits_soft_cap = 5.0f},
      {.window_left = 7},
      {.window_right = 0},
      {.causal = true, .sm_scale = 0.3f, .logits_soft_cap = 30.0f, .window_left = 20, .window_right = 4},
  };
  for (const AttentionOptions& options : rows) {
    ExpectServed(*stub_, {.num_qo_heads = 8, .num_kv_heads = 2, .q_len = 33, .kv_len = 77, .options = options});
    ExpectServed(*stub_, {.dtype = DType::kFloat16, .q_len = 64, .kv_len = 20, .options = options});
  }
}

TEST_F(AttendTest, ReturnsLseOnlyIfAsked) {
  ExpectServed(*stub_, {.q_len = 8, .return_lse = false});
  ExpectServed(*stub_, {.q_len = 8, .return_lse = true});
}

TEST_F(AttendTest, OneElementOfEverything) { ExpectServed(*stub_, {.q_len = 1, .kv_len = 1, .head_dim = 8}); }

TEST_F(AttendTest, MixedShapesFromManyClientsAtOnce) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::vector<std::thread> clients;
  for (uint32_t client = 0; client < 6; ++client) {
    clients.emplace_back([client_seed = seed + client] {
      SCOPED_TRACE(::testing::Message() << "client seed " << client_seed);
      std::mt19937 random(client_seed);
      const auto pick = [&random](int64_t least, int64_t greatest) {
        return std::uniform_int_distribution<int64_t>(least, greatest)(random);
      };
      const auto stub = v1::AttentionService::NewStub(server_->Connect());
      for (int round = 0; round < 12; ++round) {
        const int64_t kv_heads = pick(1, 3);
        ExpectServed(*stub, {.dtype = static_cast<DType>(pick(0, 2)),
                             .batch = pick(1, 2),
                             .num_qo_heads = kv_heads * pick(1, 4),
                             .num_kv_heads = kv_heads,
                             .q_len = pick(1, 130),
                             .kv_len = pick(1, 200),
                             .head_dim = 8 * pick(1, 32),
                             .options = {.causal = pick(0, 1) == 1, .window_left = pick(-1, 50)},
                             .layout = static_cast<testing::Layout>(pick(0, 1)),
                             .return_lse = pick(0, 1) == 1,
                             .seed = static_cast<uint64_t>(random())});
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(AttendTest, SkipsUnknownFields) {
  const ProblemSpec spec = {.q_len = 4};
  v1::AttendRequest request = ToRequest(spec);
  v1::AttendRequest::GetReflection()->MutableUnknownFields(&request)->AddVarint(40, 7);
  grpc::ClientContext context;
  v1::AttendResponse response;
  ASSERT_TRUE(stub_->Attend(&context, request, &response).ok());
  ExpectAnswers(response, spec);
}

TEST_F(AttendTest, SaysWhatItIs) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_FALSE(info.version().empty());
  EXPECT_EQ(info.backend(), "cpu");
  EXPECT_FALSE(info.device().empty());
  EXPECT_EQ(info.kernel().rfind("cpu/", 0), 0u) << info.kernel();
  EXPECT_EQ(info.dtypes_size(), 3);
  EXPECT_EQ(info.min_head_dim(), 8);
  EXPECT_EQ(info.max_head_dim(), 256);
  EXPECT_EQ(info.head_dim_multiple(), 8);
  EXPECT_GT(info.limits().max_message_bytes(), 0);
  EXPECT_GT(info.limits().max_queue_length(), 0);
  EXPECT_GT(info.limits().max_bytes_in_flight(), 0);
  EXPECT_GT(info.limits().max_batch_requests(), 0);
  EXPECT_GT(info.limits().max_batch_bytes(), 0);
  EXPECT_GT(info.limits().lanes(), 0);
  EXPECT_GT(info.limits().max_stream_in_flight(), 0);
}

}  // namespace
}  // namespace flashcore
