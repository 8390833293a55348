// Whatever clients send, the server answers it, keeps serving and keeps its size.
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/wire_problem.h"
#include "tests/server/rpc/bad_requests.h"

namespace flashcore {
namespace {

using testing::BadRequest;
using testing::BadRequests;
using testing::ProblemSpec;
using testing::ServerProcess;
using testing::ToRequest;
using testing::ValidRequest;

constexpr int64_t kMaxMessageBytes = int64_t{1} << 20;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // Its own memory grows.
#else
constexpr bool kSanitized = false;
#endif

// Attend with any bytes.
grpc::Status AttendRaw(grpc::GenericStub& stub, const std::string& bytes, grpc::ClientContext& context) {
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/flashcore.v1.AttentionService/Attend", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
  return status;
}

class BadInputTest : public ::testing::Test {
 protected:
  grpc::Status AttendRaw(const std::string& bytes) {
    grpc::ClientContext context;
    return flashcore::AttendRaw(raw_, bytes, context);
  }

  void ExpectStillServing() {
    const ProblemSpec spec = {.q_len = 5, .kv_len = 9};
    grpc::ClientContext context;
    v1::AttendResponse response;
    const grpc::Status status = stub_->Attend(&context, ToRequest(spec), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    testing::ExpectAnswers(response, spec);
  }

  ServerProcess server_{{"--backend=cpu", absl::StrCat("--max_message_bytes=", kMaxMessageBytes)}};
  std::shared_ptr<grpc::Channel> channel_ = server_.Connect();
  grpc::GenericStub raw_{channel_};
  std::unique_ptr<v1::AttentionService::Stub> stub_ = v1::AttentionService::NewStub(channel_);
};

TEST_F(BadInputTest, EveryBadRequestIsAnsweredAndCounted) {
  const std::vector<BadRequest> table = BadRequests();
  for (const BadRequest& bad : table) {
    SCOPED_TRACE(bad.name);
    const grpc::Status status = AttendRaw(bad.bytes);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_TRUE(absl::StartsWith(status.error_message(), absl::StrCat(bad.path, ": got "))) << status.error_message();
    EXPECT_TRUE(absl::StrContains(status.error_message(), bad.remedy)) << status.error_message();
  }
  ExpectStillServing();
  const auto rows = static_cast<double>(table.size());
  server_.WaitForMetric(R"(flashcore_requests_total{code="INVALID_ARGUMENT",method="Attend"})", rows);
  EXPECT_EQ(server_.Metric(R"(flashcore_rejections_total{reason="invalid"})"), rows);
}

TEST_F(BadInputTest, ABadRequestOfAStreamFailsAlone) {
  grpc::ClientContext context;
  const auto stream = stub_->AttendStream(&context);
  uint64_t id = 0;
  for (const BadRequest& bad : BadRequests()) {
    SCOPED_TRACE(bad.name);
    v1::AttendStreamRequest request;
    request.set_id(++id);
    // As the field `request`, whose type does not keep garbage.
    auto* const fields = v1::AttendStreamRequest::GetReflection()->MutableUnknownFields(&request);
    *fields->AddLengthDelimited(v1::AttendStreamRequest::kRequestFieldNumber) = bad.bytes;
    ASSERT_TRUE(stream->Write(request));
    v1::AttendStreamResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.id(), id);
    EXPECT_EQ(response.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_TRUE(absl::StartsWith(response.error().message(), absl::StrCat(bad.path, ": got ")))
        << response.error().message();
  }
  v1::AttendStreamRequest good;
  *good.mutable_request() = ToRequest({.q_len = 3});
  ASSERT_TRUE(stream->Write(good));
  v1::AttendStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_response());
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(BadInputTest, OversizeMessagesAreRefused) {
  const grpc::Status status = AttendRaw(std::string(kMaxMessageBytes + 1, '\0'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectStillServing();
}

// A megabyte of zeros takes a kilobyte; a gigabyte takes a megabyte, which is as much as may be sent here.
TEST_F(BadInputTest, CompressedMessagesAreRefusedBeforeTheyAreInflated) {
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const grpc::Status status = flashcore::AttendRaw(raw_, ValidRequest().SerializeAsString(), context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  ExpectStillServing();
}

TEST_F(BadInputTest, MemoryDoesNotGrow) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer keeps freed memory";
  std::vector<std::string> messages;
  for (BadRequest& bad : BadRequests()) messages.push_back(std::move(bad.bytes));
  // Large, and wrong in its last byte count only.
  v1::AttendRequest large = ValidRequest();
  large.mutable_v()->mutable_data()->resize(static_cast<size_t>(kMaxMessageBytes) / 2);
  messages.push_back(large.SerializeAsString());
  messages.emplace_back(kMaxMessageBytes + 1, '\0');
  const auto send_all = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      for (const std::string& message : messages) EXPECT_FALSE(AttendRaw(message).ok());
    }
  };
  send_all(10);
  const int64_t before_bytes = server_.ResidentBytes();
  send_all(40);
  // A leak of one message of each round would be 20 MiB, one of each oversize message 40.
  constexpr int64_t kAllowanceBytes = int64_t{8} << 20;
  EXPECT_LT(server_.ResidentBytes() - before_bytes, kAllowanceBytes);
  ExpectStillServing();
}

}  // namespace
}  // namespace flashcore
