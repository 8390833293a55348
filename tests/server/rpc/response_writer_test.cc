#include "server/rpc/response_writer.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flashcore/v1/attention.pb.h"
#include "server/scheduler/retry_hint.h"

namespace flashcore {
namespace {

constexpr size_t kArenaBytes = size_t{1} << 20;

class ResponseWriterTest : public ::testing::Test {
 protected:
  // O counts up in bytes; LSE counts up in floats, its last row sees no key.
  AttendAnswer MakeAnswer(bool with_lse) {
    AttendAnswer answer;
    AttentionProblem& problem = answer.problem;
    problem.dtype = DType::kBFloat16;
    problem.batch = 2;
    problem.num_qo_heads = 3;
    problem.num_kv_heads = 1;
    problem.q_len = 5;
    problem.kv_len = 7;
    problem.head_dim = 8;
    const auto lse_elements = static_cast<size_t>(LseElements(problem));
    answer.output = *arena_->Allocate(HostArena::kAlignment * 2 + lse_elements * sizeof(float));
    std::byte* const data = answer.output.data();
    problem.o = data;
    for (size_t i = 0; i < OutputBytes(problem); ++i) data[i] = static_cast<std::byte>(i);
    if (with_lse) {
      problem.lse = reinterpret_cast<float*>(data + HostArena::kAlignment * 2);
      for (size_t i = 0; i < lse_elements; ++i) problem.lse[i] = static_cast<float>(i);
      problem.lse[lse_elements - 1] = -std::numeric_limits<float>::infinity();
    }
    answer.timing.set_compute_ns(123);
    answer.timing.set_batch_size(4);
    answer.timing.set_kernel("cpu/test");
    return answer;
  }

  static size_t OutputBytes(const AttentionProblem& problem) {
    return static_cast<size_t>(QueryElements(problem)) * SizeOf(problem.dtype);
  }

  template <typename Message>
  static Message Parse(const grpc::ByteBuffer& buffer) {
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(buffer.Dump(&slices).ok());
    std::string bytes;
    for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    Message message;
    EXPECT_TRUE(message.ParseFromString(bytes));
    return message;
  }

  static void ExpectRight(const v1::AttendResponse& response, bool with_lse) {
    EXPECT_EQ(response.o().dtype(), v1::DTYPE_BF16);
    EXPECT_EQ(response.o().layout(), v1::LAYOUT_BHSD);
    EXPECT_EQ(std::vector<int64_t>(response.o().shape().begin(), response.o().shape().end()),
              (std::vector<int64_t>{2, 3, 5, 8}));
    ASSERT_EQ(response.o().data().size(), 480u);
    for (size_t i = 0; i < 480; ++i) ASSERT_EQ(static_cast<uint8_t>(response.o().data()[i]), static_cast<uint8_t>(i));
    EXPECT_EQ(response.timing().compute_ns(), 123);
    EXPECT_EQ(response.timing().batch_size(), 4);
    EXPECT_EQ(response.timing().kernel(), "cpu/test");
    ASSERT_EQ(response.has_lse(), with_lse);
    if (!with_lse) return;
    EXPECT_EQ(response.lse().dtype(), v1::DTYPE_FP32);
    EXPECT_EQ(std::vector<int64_t>(response.lse().shape().begin(), response.lse().shape().end()),
              (std::vector<int64_t>{2, 3, 5}));
    std::vector<float> lse(30);
    ASSERT_EQ(response.lse().data().size(), lse.size() * sizeof(float));
    std::memcpy(lse.data(), response.lse().data().data(), lse.size() * sizeof(float));
    EXPECT_EQ(lse[28], 28.0f);
    EXPECT_EQ(lse[29], -std::numeric_limits<float>::infinity());
  }

  std::shared_ptr<HostArena> arena_ = *HostArena::CreatePageable(kArenaBytes);
};

TEST_F(ResponseWriterTest, IsWhatTheGeneratedParserReads) {
  for (const bool with_lse : {false, true}) {
    SCOPED_TRACE(with_lse ? "with LSE" : "without LSE");
    ExpectRight(Parse<v1::AttendResponse>(WriteAttendResponse(MakeAnswer(with_lse))), with_lse);
  }
}

TEST_F(ResponseWriterTest, WrapsAResponseForAStream) {
  for (const bool with_lse : {false, true}) {
    const auto message = Parse<v1::AttendStreamResponse>(WriteStreamResponse(~uint64_t{0}, MakeAnswer(with_lse)));
    EXPECT_EQ(message.id(), ~uint64_t{0});
    ASSERT_TRUE(message.has_response());
    ExpectRight(message.response(), with_lse);
  }
}

TEST_F(ResponseWriterTest, LeavesOutAnIdOfZeroAsProto3Does) {
  EXPECT_EQ(Parse<v1::AttendStreamResponse>(WriteStreamResponse(0, MakeAnswer(false))).id(), 0u);
}

TEST_F(ResponseWriterTest, NamesDimensionsInTheQuerysLayout) {
  AttendAnswer answer = MakeAnswer(false);
  answer.layout = TensorLayout::kBshd;
  const auto response = Parse<v1::AttendResponse>(WriteAttendResponse(std::move(answer)));
  EXPECT_EQ(response.o().layout(), v1::LAYOUT_BSHD);
  EXPECT_EQ(std::vector<int64_t>(response.o().shape().begin(), response.o().shape().end()),
            (std::vector<int64_t>{2, 5, 3, 8}));
}

TEST_F(ResponseWriterTest, PointsIntoTheBlockAndKeepsItUntilTheLastSliceGoes) {
  AttendAnswer answer = MakeAnswer(true);
  const auto* const o = static_cast<const uint8_t*>(answer.problem.o);
  grpc::ByteBuffer buffer = WriteAttendResponse(std::move(answer));
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  const auto points_at_o = [o](const grpc::Slice& slice) { return slice.begin() == o; };
  ASSERT_EQ(std::count_if(slices.begin(), slices.end(), points_at_o), 1);
  EXPECT_GT(arena_->used_bytes(), 0u);
  buffer.Clear();
  slices.erase(std::find_if(slices.begin(), slices.end(), points_at_o));
  EXPECT_GT(arena_->used_bytes(), 0u) << "LSE's slice still needs the block";
  slices.clear();
  EXPECT_EQ(arena_->used_bytes(), 0u);
}

TEST_F(ResponseWriterTest, WritesAnErrorWithTheHint) {
  const auto full = Parse<v1::AttendStreamResponse>(
      WriteStreamError(9, WithRetryAfter(absl::ResourceExhaustedError("the queue is full"), 70)));
  EXPECT_EQ(full.id(), 9u);
  ASSERT_TRUE(full.has_error());
  EXPECT_EQ(full.error().code(), 8);
  EXPECT_EQ(full.error().message(), "the queue is full");
  EXPECT_EQ(full.error().retry_after_ms(), 70);
  const auto bad = Parse<v1::AttendStreamResponse>(WriteStreamError(9, absl::InvalidArgumentError("q: bad")));
  EXPECT_EQ(bad.error().code(), 3);
  EXPECT_EQ(bad.error().retry_after_ms(), 0);
}

}  // namespace
}  // namespace flashcore
