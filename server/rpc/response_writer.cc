#include "server/rpc/response_writer.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/rpc/wire_types.h"
#include "server/scheduler/retry_hint.h"

namespace flashcore {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

using SharedBlock = std::shared_ptr<const HostBlock>;

// The tag and length that stand before `length_bytes` of a bytes or message field.
std::string LengthPrefix(int field, size_t length_bytes) {
  std::string prefix;
  StringOutputStream stream(&prefix);
  CodedOutputStream output(&stream);
  output.WriteTag(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  output.WriteVarint64(length_bytes);
  output.Trim();
  return prefix;
}

// O without its data.
v1::Tensor DescribeOutput(const AttentionProblem& problem, TensorLayout layout) {
  const bool heads_first = layout == TensorLayout::kBhsd;
  v1::Tensor tensor;
  tensor.set_dtype(ToWire(problem.dtype));
  tensor.set_layout(heads_first ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD);
  tensor.add_shape(problem.batch);
  tensor.add_shape(heads_first ? problem.num_qo_heads : problem.q_len);
  tensor.add_shape(heads_first ? problem.q_len : problem.num_qo_heads);
  tensor.add_shape(problem.head_dim);
  return tensor;
}

v1::Tensor DescribeLse(const AttentionProblem& problem) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DTYPE_FP32);
  tensor.add_shape(problem.batch);
  tensor.add_shape(problem.num_qo_heads);
  tensor.add_shape(problem.q_len);
  return tensor;
}

void DropReference(void* block) { delete static_cast<SharedBlock*>(block); }

// Points into `block` and keeps it.
grpc::Slice BlockSlice(const SharedBlock& block, const void* data, size_t size_bytes) {
  return {const_cast<void*>(data), size_bytes, DropReference, new SharedBlock(block)};
}

// Slices of one message, front to back.
class MessageWriter {
 public:
  void Append(const std::string& bytes) { Append(grpc::Slice(bytes)); }
  void Append(grpc::Slice slice) {
    size_bytes_ += slice.size();
    slices_.push_back(std::move(slice));
  }
  // A Tensor as `field`: `description` without data, then the data where they lie.
  void AppendTensor(int field, const v1::Tensor& description, grpc::Slice data) {
    const std::string header =
        description.SerializeAsString() + LengthPrefix(v1::Tensor::kDataFieldNumber, data.size());
    Append(LengthPrefix(field, header.size() + data.size()) + header);
    Append(std::move(data));
  }
  void Prepend(const std::string& bytes) { slices_.insert(slices_.begin(), grpc::Slice(bytes)); }

  size_t size_bytes() const { return size_bytes_; }
  grpc::ByteBuffer Finish() const { return {slices_.data(), slices_.size()}; }

 private:
  std::vector<grpc::Slice> slices_;
  size_t size_bytes_ = 0;
};

MessageWriter WriteResponse(AttendAnswer answer) {
  const AttentionProblem& problem = answer.problem;
  const auto block = std::make_shared<const HostBlock>(std::move(answer.output));
  v1::AttendResponse head;
  *head.mutable_timing() = std::move(answer.timing);

  MessageWriter writer;
  writer.Append(head.SerializeAsString());
  const size_t o_bytes = static_cast<size_t>(QueryElements(problem)) * SizeOf(problem.dtype);
  writer.AppendTensor(v1::AttendResponse::kOFieldNumber, DescribeOutput(problem, answer.layout),
                      BlockSlice(block, problem.o, o_bytes));
  if (problem.lse != nullptr) {
    const size_t lse_bytes = static_cast<size_t>(LseElements(problem)) * sizeof(float);
    writer.AppendTensor(v1::AttendResponse::kLseFieldNumber, DescribeLse(problem),
                        BlockSlice(block, problem.lse, lse_bytes));
  }
  return writer;
}

}  // namespace

grpc::ByteBuffer WriteAttendResponse(AttendAnswer answer) { return WriteResponse(std::move(answer)).Finish(); }

grpc::ByteBuffer WriteStreamResponse(uint64_t id, AttendAnswer answer) {
  MessageWriter writer = WriteResponse(std::move(answer));
  v1::AttendStreamResponse head;
  head.set_id(id);
  writer.Prepend(head.SerializeAsString() +
                 LengthPrefix(v1::AttendStreamResponse::kResponseFieldNumber, writer.size_bytes()));
  return writer.Finish();
}

grpc::ByteBuffer WriteStreamError(uint64_t id, const absl::Status& status) {
  v1::AttendStreamResponse message;
  message.set_id(id);
  message.mutable_error()->set_code(status.raw_code());
  message.mutable_error()->set_message(std::string(status.message()));
  message.mutable_error()->set_retry_after_ms(RetryAfterMs(status));
  MessageWriter writer;
  writer.Append(message.SerializeAsString());
  return writer.Finish();
}

}  // namespace flashcore
