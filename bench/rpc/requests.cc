#include "bench/rpc/requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <array>
#include <string>
#include <vector>

#include "flashcore/v1/attention.pb.h"

namespace flashcore::bench {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr uint32_t kIdTag =
    WireFormatLite::MakeTag(v1::AttendStreamRequest::kIdFieldNumber, WireFormatLite::WIRETYPE_VARINT);
constexpr uint32_t kRequestTag =
    WireFormatLite::MakeTag(v1::AttendStreamRequest::kRequestFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

TensorSpec SpecOf(Payload payload) {
  switch (payload) {
    case Payload::kMission:
      return {.dtype = DType::kFloat16, .shape = {1, 8, 512, 64}};
    case Payload::kSmall:
      return {.dtype = DType::kFloat16, .shape = {1, 1, 21, 8}};
  }
  return {};
}

void Fill(const Tensor& tensor, v1::Tensor& message) {
  message.set_dtype(v1::DTYPE_FP16);
  for (const int64_t dimension : tensor.shape()) message.add_shape(dimension);
  message.set_data(tensor.data(), tensor.size_bytes());
}

}  // namespace

Problem MakeProblem(Payload payload) {
  const TensorSpec spec = SpecOf(payload);
  return {.q = Tensor::Random(spec, 1), .k = Tensor::Random(spec, 2), .v = Tensor::Random(spec, 3)};
}

grpc::ByteBuffer EncodeRequest(const Problem& problem) {
  v1::AttendRequest request;
  Fill(problem.q, *request.mutable_q());
  Fill(problem.k, *request.mutable_k());
  Fill(problem.v, *request.mutable_v());
  const grpc::Slice slice(request.SerializeAsString());
  return {&slice, 1};
}

grpc::ByteBuffer EncodeStreamRequest(uint64_t id, const grpc::ByteBuffer& request) {
  constexpr size_t kMaxVarintBytes = 10;
  std::array<uint8_t, 4 * kMaxVarintBytes> head = {};
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(kIdTag, head.data());
  end = CodedOutputStream::WriteVarint64ToArray(id, end);
  end = CodedOutputStream::WriteVarint32ToArray(kRequestTag, end);
  end = CodedOutputStream::WriteVarint64ToArray(request.Length(), end);
  std::vector<grpc::Slice> slices;
  if (!request.Dump(&slices).ok()) return {};
  slices.insert(slices.begin(), grpc::Slice(head.data(), static_cast<size_t>(end - head.data())));
  return {slices.data(), slices.size()};
}

std::optional<uint64_t> LeadingId(grpc::ByteBuffer& answer) {
  grpc::ProtoBufferReader reader(&answer);
  if (!reader.status().ok()) return std::nullopt;
  CodedInputStream input(&reader);
  uint64_t id = 0;
  if (input.ReadTag() != kIdTag || !input.ReadVarint64(&id)) return std::nullopt;
  return id;
}

size_t LeastAnswerBytes(const Problem& problem) { return problem.q.size_bytes(); }

}  // namespace flashcore::bench
