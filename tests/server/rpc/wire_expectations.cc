#include "tests/server/rpc/wire_expectations.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/wire_format_lite.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/base/casts.h"

namespace flashcore::testing {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

bool OneIn(int n, std::mt19937& random) { return std::uniform_int_distribution<int>(1, n)(random) == 1; }

uint64_t RandomVarint(std::mt19937& random) {
  const uint64_t bits = (uint64_t{random()} << 32) | random();
  return bits >> std::uniform_int_distribution<int>(0, 63)(random);
}

std::string RandomBytes(size_t most, std::mt19937& random) {
  std::string bytes(std::uniform_int_distribution<size_t>(0, most)(random), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

float RandomFloat(std::mt19937& random) {
  const auto bits = static_cast<uint32_t>(random());
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void FillTensor(v1::Tensor& tensor, std::mt19937& random) {
  if (!OneIn(3, random)) tensor.set_dtype(static_cast<v1::DType>(RandomVarint(random)));
  if (!OneIn(3, random)) tensor.set_layout(static_cast<v1::Layout>(RandomVarint(random)));
  const int rank = OneIn(20, random) ? 5 : std::uniform_int_distribution<int>(0, 2)(random);
  for (int i = 0; i < rank; ++i) tensor.add_shape(static_cast<int64_t>(RandomVarint(random)));
  if (!OneIn(4, random)) tensor.set_data(RandomBytes(200, random));
}

void FillOptions(v1::AttentionOptions& options, std::mt19937& random) {
  if (OneIn(2, random)) options.set_causal(OneIn(2, random));
  if (OneIn(2, random)) options.set_sm_scale(RandomFloat(random));
  if (OneIn(2, random)) options.set_logits_soft_cap(RandomFloat(random));
  if (OneIn(2, random)) options.set_window_left(static_cast<int64_t>(RandomVarint(random)));
  if (OneIn(2, random)) options.set_window_right(static_cast<int64_t>(RandomVarint(random)));
  if (OneIn(2, random)) options.set_return_lse(OneIn(2, random));
}

void AddUnknown(google::protobuf::UnknownFieldSet& set, int depth, std::mt19937& random) {
  // Numbers that the contract has not used and, with another wire type, some that it has.
  const int number = std::uniform_int_distribution<int>(10, 5000)(random);
  switch (std::uniform_int_distribution<int>(0, 4)(random)) {
    case 0:
      set.AddVarint(number, RandomVarint(random));
      break;
    case 1:
      set.AddFixed32(number, static_cast<uint32_t>(random()));
      break;
    case 2:
      set.AddFixed64(OneIn(2, random) ? 1 : number, RandomVarint(random));
      break;
    case 3:
      *set.AddLengthDelimited(number) = RandomBytes(40, random);
      break;
    default:
      if (depth < 4) AddUnknown(*set.AddGroup(number), depth + 1, random);
  }
}

std::string SerializeUnknown(std::mt19937& random) {
  google::protobuf::UnknownFieldSet set;
  AddUnknown(set, 0, random);
  std::string bytes;
  set.SerializeToString(&bytes);
  return bytes;
}

// `message` as it would be with its shape unpacked.
std::string SerializeTensor(v1::Tensor tensor, std::mt19937& random) {
  std::string bytes;
  if (OneIn(2, random)) {
    StringOutputStream stream(&bytes);
    CodedOutputStream output(&stream);
    for (const int64_t dimension : tensor.shape()) {
      output.WriteTag(WireFormatLite::MakeTag(v1::Tensor::kShapeFieldNumber, WireFormatLite::WIRETYPE_VARINT));
      output.WriteVarint64(static_cast<uint64_t>(dimension));
    }
    output.Trim();
    tensor.clear_shape();
  }
  std::vector<std::string> parts = {bytes, tensor.SerializeAsString()};
  if (OneIn(2, random)) parts.push_back(SerializeUnknown(random));
  std::shuffle(parts.begin(), parts.end(), random);
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

std::string Field(int number, const std::string& content) {
  google::protobuf::UnknownFieldSet set;
  *set.AddLengthDelimited(number) = content;
  std::string bytes;
  set.SerializeToString(&bytes);
  return bytes;
}

void AppendParts(const v1::AttendRequest& request, std::vector<std::string>& parts, std::mt19937& random) {
  if (request.has_q()) parts.push_back(Field(v1::AttendRequest::kQFieldNumber, SerializeTensor(request.q(), random)));
  if (request.has_k()) parts.push_back(Field(v1::AttendRequest::kKFieldNumber, SerializeTensor(request.k(), random)));
  if (request.has_v()) parts.push_back(Field(v1::AttendRequest::kVFieldNumber, SerializeTensor(request.v(), random)));
  if (request.has_options()) {
    parts.push_back(Field(v1::AttendRequest::kOptionsFieldNumber, request.options().SerializeAsString()));
  }
  v1::AttendRequest scalars;
  scalars.set_priority(request.priority());
  parts.push_back(scalars.SerializeAsString());
}

bool SameBits(float a, float b) { return absl::bit_cast<uint32_t>(a) == absl::bit_cast<uint32_t>(b); }

void ExpectSameTensor(const v1::Tensor& want, const WireTensor& got, const std::string& bytes) {
  EXPECT_EQ(got.dtype, want.dtype());
  EXPECT_EQ(got.layout, want.layout());
  ASSERT_EQ(got.rank, static_cast<size_t>(want.shape_size()));
  EXPECT_TRUE(std::equal(want.shape().begin(), want.shape().end(), got.shape.begin()));
  EXPECT_EQ(bytes.substr(got.data.offset_bytes, got.data.length_bytes), want.data());
}

}  // namespace

v1::AttendRequest RandomRequest(std::mt19937& random) {
  v1::AttendRequest request;
  if (!OneIn(4, random)) FillTensor(*request.mutable_q(), random);
  if (!OneIn(4, random)) FillTensor(*request.mutable_k(), random);
  if (!OneIn(4, random)) FillTensor(*request.mutable_v(), random);
  if (!OneIn(4, random)) FillOptions(*request.mutable_options(), random);
  if (OneIn(2, random)) request.set_priority(static_cast<v1::Priority>(RandomVarint(random)));
  return request;
}

std::string SerializeShuffled(std::mt19937& random) {
  std::vector<std::string> parts;
  for (int i = std::uniform_int_distribution<int>(1, 2)(random); i > 0; --i) {
    AppendParts(RandomRequest(random), parts, random);
  }
  for (int i = std::uniform_int_distribution<int>(0, 3)(random); i > 0; --i) parts.push_back(SerializeUnknown(random));
  std::shuffle(parts.begin(), parts.end(), random);
  std::string bytes;
  for (const std::string& part : parts) bytes += part;
  return bytes;
}

void Mutate(std::string& bytes, std::mt19937& random) {
  for (int i = std::uniform_int_distribution<int>(1, 3)(random); i > 0 && !bytes.empty(); --i) {
    const size_t position = std::uniform_int_distribution<size_t>(0, bytes.size() - 1)(random);
    switch (std::uniform_int_distribution<int>(0, 3)(random)) {
      case 0:
        bytes[position] = static_cast<char>(random());
        break;
      case 1:
        bytes.insert(position, 1, static_cast<char>(random()));
        break;
      case 2:
        bytes.erase(position, 1);
        break;
      default:
        if (OneIn(4, random)) bytes.resize(position);
    }
  }
}

std::vector<absl::string_view> Chop(const std::string& bytes, std::mt19937& random) {
  std::vector<absl::string_view> chunks;
  for (absl::string_view rest = bytes; !rest.empty();) {
    const size_t most = OneIn(2, random) ? 3 : 300;
    const size_t length = std::uniform_int_distribution<size_t>(0, most)(random);
    chunks.push_back(rest.substr(0, length));
    rest.remove_prefix(chunks.back().size());
  }
  return chunks;
}

void ExpectSame(const v1::AttendRequest& want, const WireRequest& got, const std::string& bytes) {
  EXPECT_EQ(got.q.present, want.has_q());
  EXPECT_EQ(got.k.present, want.has_k());
  EXPECT_EQ(got.v.present, want.has_v());
  ExpectSameTensor(want.q(), got.q, bytes);
  ExpectSameTensor(want.k(), got.k, bytes);
  ExpectSameTensor(want.v(), got.v, bytes);
  const v1::AttentionOptions& options = want.options();
  EXPECT_EQ(got.options.causal, options.causal());
  EXPECT_EQ(got.options.return_lse, options.return_lse());
  ASSERT_EQ(got.options.sm_scale.has_value(), options.has_sm_scale());
  EXPECT_TRUE(SameBits(got.options.sm_scale.value_or(0.0f), options.sm_scale()));
  EXPECT_TRUE(SameBits(got.options.logits_soft_cap, options.logits_soft_cap()));
  ASSERT_EQ(got.options.window_left.has_value(), options.has_window_left());
  EXPECT_EQ(got.options.window_left.value_or(0), options.window_left());
  ASSERT_EQ(got.options.window_right.has_value(), options.has_window_right());
  EXPECT_EQ(got.options.window_right.value_or(0), options.window_right());
  EXPECT_EQ(got.priority, want.priority());
}

}  // namespace flashcore::testing
