#include "server/rpc/wire_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "flashcore/v1/attention.pb.h"
#include "tests/server/rpc/bad_requests.h"
#include "tests/server/rpc/wire_expectations.h"

namespace flashcore {
namespace {

using testing::Chop;
using testing::ExpectSame;
using testing::SerializeShuffled;
using testing::ValidRequest;

absl::Status Read(const std::string& bytes, WireRequest& result) {
  const absl::string_view chunk = bytes;
  return ReadAttendRequest({&chunk, 1}, result);
}

TEST(WireReader, ReadsWhatTheGeneratedCodeWrote) {
  v1::AttendRequest message = ValidRequest(v1::DTYPE_BF16);
  message.mutable_v()->set_layout(v1::LAYOUT_BSHD);
  message.mutable_options()->set_causal(true);
  message.mutable_options()->set_sm_scale(0.25f);
  message.mutable_options()->set_window_left(-1);
  const std::string bytes = message.SerializeAsString();
  WireRequest request;
  ASSERT_TRUE(Read(bytes, request).ok());
  ExpectSame(message, request, bytes);
}

// Random messages in every legal encoding, over random chunks: the generated parser is the oracle.
TEST(WireReader, AgreesWithTheGeneratedParser) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 3000 && !::testing::Test::HasFailure(); ++round) {
    const std::string bytes = SerializeShuffled(random);
    v1::AttendRequest expected;
    ASSERT_TRUE(expected.ParseFromString(bytes));
    const std::vector<absl::string_view> chunks = Chop(bytes, random);
    WireRequest request;
    const absl::Status status = ReadAttendRequest(chunks, request);
    if (std::max({expected.q().shape_size(), expected.k().shape_size(), expected.v().shape_size()}) > 4) {
      EXPECT_TRUE(absl::StrContains(status.message(), ".shape: got more than 4 dimensions")) << status;
      continue;
    }
    ASSERT_TRUE(status.ok()) << status;
    ExpectSame(expected, request, bytes);
  }
}

// Bytes of a valid message changed at random: whatever we take, the generated parser takes for the same.
TEST(WireReader, TakesNothingThatTheGeneratedParserRefuses) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int accepted = 0;
  for (int round = 0; round < 20000 && !::testing::Test::HasFailure(); ++round) {
    std::string bytes = SerializeShuffled(random);
    testing::Mutate(bytes, random);
    WireRequest request;
    const std::vector<absl::string_view> chunks = Chop(bytes, random);
    if (!ReadAttendRequest(chunks, request).ok()) continue;
    ++accepted;
    v1::AttendRequest expected;
    ASSERT_TRUE(expected.ParseFromString(bytes)) << absl::CHexEscape(bytes);
    ExpectSame(expected, request, bytes);
  }
  EXPECT_GT(accepted, 100);
}

TEST(WireReader, MergesRepeatedSubmessages) {
  v1::AttendRequest first;
  first.mutable_q()->set_dtype(v1::DTYPE_FP16);
  first.mutable_q()->add_shape(1);
  first.mutable_q()->add_shape(2);
  first.mutable_q()->set_data("first");
  v1::AttendRequest second;
  second.mutable_q()->add_shape(3);
  second.mutable_q()->set_data("second!");
  const std::string bytes = first.SerializeAsString() + second.SerializeAsString();
  WireRequest request;
  ASSERT_TRUE(Read(bytes, request).ok());
  EXPECT_EQ(request.q.dtype, v1::DTYPE_FP16);
  EXPECT_THAT(request.q.shape, ::testing::ElementsAre(1, 2, 3, 0));
  EXPECT_EQ(request.q.rank, 3u);
  EXPECT_EQ(bytes.substr(request.q.data.offset_bytes, request.q.data.length_bytes), "second!");
  EXPECT_FALSE(request.k.present);
}

TEST(WireReader, ATagTakesUpToFiveBytes) {
  const std::string valid = ValidRequest().SerializeAsString();
  WireRequest request;
  // Field 2^28, a varint of 0; then the same with a byte more than its tag needs.
  EXPECT_TRUE(Read(valid + std::string("\x80\x80\x80\x80\x08\x00", 6), request).ok());
  EXPECT_FALSE(Read(valid + std::string("\x80\x80\x80\x80\x88\x00\x00", 7), request).ok());
}

TEST(WireReader, SkipsGroupsWithinGroupsUpToTheBound) {
  const auto nested = [](int depth) {
    const auto count = static_cast<size_t>(depth);
    return ValidRequest().SerializeAsString() + std::string(count, '\x7b') + std::string(count, '\x7c');
  };
  WireRequest request;
  EXPECT_TRUE(Read(nested(kMaxWireGroupDepth), request).ok());
  EXPECT_FALSE(Read(nested(kMaxWireGroupDepth + 1), request).ok());
}

TEST(WireReader, SkipsEmptyChunks) {
  const std::string bytes = ValidRequest().SerializeAsString();
  const std::vector<absl::string_view> chunks = {"", absl::string_view(bytes).substr(0, 100), "",
                                                 absl::string_view(bytes).substr(100), ""};
  WireRequest request;
  ASSERT_TRUE(ReadAttendRequest(chunks, request).ok());
  ExpectSame(ValidRequest(), request, bytes);
}

TEST(WireReader, ReadsNothingAsAnEmptyMessage) {
  WireRequest request;
  ASSERT_TRUE(ReadAttendRequest({}, request).ok());
  EXPECT_FALSE(request.q.present);
}

TEST(WireReader, TakesAsManyFieldsAsItSays) {
  std::string bytes = ValidRequest().SerializeAsString();
  const std::string unknown("\x78\x01", 2);
  // A tensor takes a field for itself and three inside.
  constexpr int kOwnFields = 3 * 4;
  for (int i = kOwnFields; i < kMaxWireFields; ++i) bytes += unknown;
  WireRequest request;
  EXPECT_TRUE(Read(bytes, request).ok());
  bytes += unknown;
  WireRequest beyond;
  EXPECT_EQ(Read(bytes, beyond).message(), "request: got a message of more than 1024 fields, want fewer");
}

TEST(WireReader, ReadsAStreamRequest) {
  v1::AttendStreamRequest message;
  message.set_id(~uint64_t{0});
  *message.mutable_request() = ValidRequest();
  const std::string bytes = message.SerializeAsString();
  const absl::string_view chunk = bytes;
  WireStreamRequest request;
  ASSERT_TRUE(ReadAttendStreamRequest({&chunk, 1}, request).ok());
  EXPECT_EQ(request.id, ~uint64_t{0});
  ExpectSame(message.request(), request.request, bytes);
}

TEST(WireReader, TellsTheIdOfAGarbledStreamRequest) {
  v1::AttendStreamRequest message;
  message.set_id(77);
  *message.mutable_request() = ValidRequest();
  std::string bytes = message.SerializeAsString();
  bytes.pop_back();
  const absl::string_view chunk = bytes;
  WireStreamRequest request;
  const absl::Status status = ReadAttendStreamRequest({&chunk, 1}, request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(request.id, 77u);
}

}  // namespace
}  // namespace flashcore
