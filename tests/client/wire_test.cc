#include "client/wire.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "flashcore/v1/attention.pb.h"

namespace flashcore {
namespace {

using google::protobuf::util::MessageDifferencer;

std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  return slices;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  for (const grpc::Slice& slice : SlicesOf(buffer)) bytes.append(slice.begin(), slice.end());
  return bytes;
}

// In pieces of `piece_bytes`, as the network would deliver it.
grpc::ByteBuffer BufferOf(const std::string& bytes, size_t piece_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < bytes.size(); i += piece_bytes) slices.emplace_back(bytes.substr(i, piece_bytes));
  return {slices.data(), slices.size()};
}

v1::Tensor ToWire(const Tensor& tensor, v1::DType dtype, v1::Layout layout) {
  v1::Tensor wire;
  wire.set_dtype(dtype);
  for (const int64_t dim : tensor.shape()) wire.add_shape(dim);
  wire.set_layout(layout);
  wire.set_data(tensor.data(), tensor.size_bytes());
  return wire;
}

const TensorSpec kQuery{DType::kBFloat16, {1, 3, 2, 8}, Layout::kBshd};

v1::AttendResponse Response() {
  v1::AttendResponse response;
  *response.mutable_o() = ToWire(Tensor::Random(kQuery, 1), v1::DTYPE_BF16, v1::LAYOUT_BSHD);
  *response.mutable_lse() =
      ToWire(Tensor::Random({DType::kFloat32, {1, 2, 3}}, 2), v1::DTYPE_FP32, v1::LAYOUT_UNSPECIFIED);
  response.mutable_timing()->set_queue_ns(int64_t{1} << 40);
  response.mutable_timing()->set_kernel("a kernel");
  return response;
}

TEST(WireTest, TheRequestIsWhatProtobufWouldWrite) {
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 2, 3, 64}}, 1);
  const Tensor k = Tensor::Random({DType::kBFloat16, {2, 300, 1, 8}, Layout::kBshd}, 2);
  const Tensor v = Tensor::Random({DType::kFloat32, {1, 0, 3, 8}}, 3);
  const AttendOptions options{.causal = true,
                              .sm_scale = 0.25f,
                              .logits_soft_cap = 30,
                              .window_left = 5,
                              .window_right = -1,
                              .return_lse = true};
  v1::AttendRequest expected;
  *expected.mutable_q() = ToWire(q, v1::DTYPE_FP16, v1::LAYOUT_BHSD);
  *expected.mutable_k() = ToWire(k, v1::DTYPE_BF16, v1::LAYOUT_BSHD);
  *expected.mutable_v() = ToWire(v, v1::DTYPE_FP32, v1::LAYOUT_BHSD);
  expected.mutable_options()->set_causal(true);
  expected.mutable_options()->set_sm_scale(0.25f);
  expected.mutable_options()->set_logits_soft_cap(30);
  expected.mutable_options()->set_window_left(5);
  expected.mutable_options()->set_window_right(-1);
  expected.mutable_options()->set_return_lse(true);
  expected.set_priority(v1::PRIORITY_HIGH);

  v1::AttendRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(BytesOf(EncodeAttendRequest(q, k, v, options, Priority::kHigh).value())));
  EXPECT_TRUE(MessageDifferencer::Equals(parsed, expected)) << parsed.ShortDebugString();
}

TEST(WireTest, AnAbsentScaleStaysAbsent) {
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 1, 1, 8}}, 1);
  v1::AttendRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(BytesOf(EncodeAttendRequest(q, q, q, {}, Priority::kNormal).value())));
  EXPECT_FALSE(parsed.options().has_sm_scale());
}

TEST(WireTest, TensorBytesAreNotCopiedAndStayOwned) {
  Tensor q = Tensor::Random({DType::kFloat16, {1, 8, 64, 64}}, 1);
  const void* const bytes = q.data();
  const std::weak_ptr<const void> owner = q.owner();
  const auto points_at_q = [bytes](const grpc::Slice& slice) { return slice.begin() == bytes; };
  {
    const grpc::ByteBuffer buffer = EncodeAttendRequest(q, q, q, {}, Priority::kNormal).value();
    q = Tensor();
    const std::vector<grpc::Slice> slices = SlicesOf(buffer);
    EXPECT_EQ(std::count_if(slices.begin(), slices.end(), points_at_q), 3);
    EXPECT_FALSE(owner.expired());
  }
  EXPECT_TRUE(owner.expired());
}

TEST(WireTest, ARequestBeyondProtobufsBoundIsRefused) {
  // Never read, so nothing has to be there.
  const auto nothing = std::make_shared<char>();
  const Tensor huge = Tensor::Share({DType::kFloat32, {1, 1, int64_t{1} << 20, 256}}, nothing);
  EXPECT_EQ(EncodeAttendRequest(huge, huge, huge, {}, Priority::kNormal).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(WireTest, ReadsAResponseHoweverItIsCut) {
  const v1::AttendResponse response = Response();
  for (const size_t piece_bytes : {size_t{1}, size_t{7}, size_t{1} << 20}) {
    grpc::ByteBuffer buffer = BufferOf(response.SerializeAsString(), piece_bytes);
    const absl::StatusOr<AttendResult> result = ParseAttendResponse(buffer, kQuery, true);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->o.spec(), kQuery);
    EXPECT_EQ(std::string(static_cast<const char*>(result->o.data()), result->o.size_bytes()), response.o().data());
    EXPECT_EQ(std::string(static_cast<const char*>(result->lse->data()), result->lse->size_bytes()),
              response.lse().data());
    EXPECT_EQ(result->timing.queue_ns, int64_t{1} << 40);
    EXPECT_EQ(result->timing.kernel, "a kernel");
  }
}

TEST(WireTest, FieldsFromTheFutureAreSkipped) {
  v1::AttendResponse response = Response();
  v1::AttendResponse::GetReflection()->MutableUnknownFields(&response)->AddLengthDelimited(99, "news");
  v1::Tensor& o = *response.mutable_o();
  v1::Tensor::GetReflection()->MutableUnknownFields(&o)->AddVarint(17, 1);
  grpc::ByteBuffer buffer = BufferOf(response.SerializeAsString(), 16);
  EXPECT_TRUE(ParseAttendResponse(buffer, kQuery, true).ok());
}

TEST(WireTest, EveryTruncationIsRefused) {
  const std::string bytes = Response().SerializeAsString();
  // Timing comes last, and an answer without it is a whole one.
  const size_t timing_bytes = 2 + Response().timing().ByteSizeLong();
  for (size_t length = 0; length < bytes.size() - timing_bytes; ++length) {
    grpc::ByteBuffer buffer = BufferOf(bytes.substr(0, length), 64);
    EXPECT_FALSE(ParseAttendResponse(buffer, kQuery, true).ok()) << length;
  }
}

TEST(WireTest, ALengthBeyondTheMessageIsRefusedBeforeMemoryIsTaken) {
  // o, 10 bytes, whose data claims 2^31 - 1 bytes.
  const std::string lie("\x0a\x06\x22\xff\xff\xff\xff\x07", 8);
  grpc::ByteBuffer buffer = BufferOf(lie, 64);
  EXPECT_EQ(ParseAttendResponse(buffer, kQuery, false).status().code(), absl::StatusCode::kInternal);
}

TEST(WireTest, RandomDamageNeverCrashes) {
  constexpr uint64_t kSeed = 20260501;
  constexpr int kRounds = 20000;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  std::mt19937_64 random(kSeed);
  const std::string good = Response().SerializeAsString();
  for (int i = 0; i < kRounds; ++i) {
    std::string bytes = good;
    for (uint64_t damage = 1 + random() % 4; damage > 0; --damage) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    grpc::ByteBuffer buffer = BufferOf(bytes, 1 + random() % 200);
    const absl::StatusOr<AttendResult> result = ParseAttendResponse(buffer, kQuery, true);
    if (result.ok()) {
      EXPECT_EQ(result->o.spec(), kQuery);
    }
  }
}

}  // namespace
}  // namespace flashcore
