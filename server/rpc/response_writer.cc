#include "server/rpc/response_writer.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/rpc/wire_types.h"
#include "server/scheduler/retry_hint.h"

namespace flashcore {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// Enough for what surrounds the tensors of one message: ids, timing, shapes.
constexpr size_t kHeadBytes = 512;
// What stands before O, O, what stands before LSE, LSE; and an id before all of them.
constexpr size_t kMaxSlices = 5;

// What the slices of one answer point into, freed with the last of them.
struct SharedBlock {
  HostBlock block;
  std::atomic<int> slices = 0;
};

void DropSlice(void* shared) {
  auto* block = static_cast<SharedBlock*>(shared);
  if (block->slices.fetch_sub(1, std::memory_order_acq_rel) == 1) delete block;
}

// Points into `block`, which goes with its last slice: so the first must live until the others are made.
grpc::Slice BlockSlice(SharedBlock& block, const void* data, size_t size_bytes) {
  block.slices.fetch_add(1, std::memory_order_relaxed);
  return {const_cast<void*>(data), size_bytes, DropSlice, &block};
}

// The tag and length that stand before `length_bytes` of a bytes or message field.
class LengthPrefix {
 public:
  LengthPrefix(int field, size_t length_bytes) {
    const uint32_t tag = WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    uint8_t* end = CodedOutputStream::WriteVarint32ToArray(tag, bytes_.data());
    end = CodedOutputStream::WriteVarint64ToArray(length_bytes, end);
    size_bytes_ = static_cast<size_t>(end - bytes_.data());
  }
  absl::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), size_bytes_}; }

 private:
  static constexpr size_t kMaxTagBytes = 5;
  static constexpr size_t kMaxLengthBytes = 10;
  std::array<uint8_t, kMaxTagBytes + kMaxLengthBytes> bytes_;
  size_t size_bytes_ = 0;
};

// O without its data.
void DescribeOutput(const AttentionProblem& problem, TensorLayout layout, v1::Tensor& tensor) {
  const bool heads_first = layout == TensorLayout::kBhsd;
  tensor.set_dtype(ToWire(problem.dtype));
  tensor.set_layout(heads_first ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD);
  tensor.add_shape(problem.batch);
  tensor.add_shape(heads_first ? problem.num_qo_heads : problem.q_len);
  tensor.add_shape(heads_first ? problem.q_len : problem.num_qo_heads);
  tensor.add_shape(problem.head_dim);
}

void DescribeLse(const AttentionProblem& problem, v1::Tensor& tensor) {
  tensor.set_dtype(v1::DTYPE_FP32);
  tensor.add_shape(problem.batch);
  tensor.add_shape(problem.num_qo_heads);
  tensor.add_shape(problem.q_len);
}

// One message, front to back: small fields gather in one slice up to the next tensor's data.
class MessageWriter {
 public:
  MessageWriter() { head_.reserve(kHeadBytes); }

  void AppendMessage(int field, const google::protobuf::MessageLite& message) {
    AppendBytes(LengthPrefix(field, message.ByteSizeLong()).view());
    message.AppendToString(&head_);
  }
  // A Tensor as `field`: `description` without data, then the data where they lie.
  void AppendTensor(int field, const v1::Tensor& description, grpc::Slice data) {
    const LengthPrefix data_prefix(v1::Tensor::kDataFieldNumber, data.size());
    const size_t tensor_bytes = description.ByteSizeLong() + data_prefix.view().size() + data.size();
    AppendBytes(LengthPrefix(field, tensor_bytes).view());
    description.AppendToString(&head_);
    AppendBytes(data_prefix.view());
    FlushHead();
    AppendSlice(std::move(data));
  }

  size_t size_bytes() const { return size_bytes_ + head_.size(); }

  // The message; with `front`, after these bytes.
  grpc::ByteBuffer Finish(absl::string_view front = {}) {
    FlushHead();
    // The place of the front was kept.
    slices_[0] = grpc::Slice(front.data(), front.size());
    const size_t first = front.empty() ? 1 : 0;
    return {slices_.data() + first, count_ - first};
  }

 private:
  void AppendBytes(absl::string_view bytes) { head_.append(bytes.data(), bytes.size()); }
  void AppendSlice(grpc::Slice slice) {
    size_bytes_ += slice.size();
    slices_[count_++] = std::move(slice);
  }
  void FlushHead() {
    if (!head_.empty()) AppendSlice(grpc::Slice(head_));
    head_.clear();
  }

  std::string head_;
  std::array<grpc::Slice, kMaxSlices> slices_;
  size_t count_ = 1;
  size_t size_bytes_ = 0;  // Of the slices.
};

void WriteResponse(AttendAnswer answer, MessageWriter& writer) {
  const AttentionProblem& problem = answer.problem;
  // The descriptions live on the stack, their shapes too.
  constexpr size_t kArenaBytes = 1024;
  alignas(std::max_align_t) std::array<char, kArenaBytes> memory;
  google::protobuf::Arena arena(memory.data(), memory.size());
  auto* o = google::protobuf::Arena::CreateMessage<v1::Tensor>(&arena);
  DescribeOutput(problem, answer.layout, *o);

  auto* block = new SharedBlock{.block = std::move(answer.output)};
  const size_t o_bytes = static_cast<size_t>(QueryElements(problem)) * SizeOf(problem.dtype);
  writer.AppendMessage(v1::AttendResponse::kTimingFieldNumber, answer.timing);
  writer.AppendTensor(v1::AttendResponse::kOFieldNumber, *o, BlockSlice(*block, problem.o, o_bytes));
  if (problem.lse == nullptr) return;
  auto* lse = google::protobuf::Arena::CreateMessage<v1::Tensor>(&arena);
  DescribeLse(problem, *lse);
  const size_t lse_bytes = static_cast<size_t>(LseElements(problem)) * sizeof(float);
  writer.AppendTensor(v1::AttendResponse::kLseFieldNumber, *lse, BlockSlice(*block, problem.lse, lse_bytes));
}

}  // namespace

grpc::ByteBuffer WriteAttendResponse(AttendAnswer answer) {
  MessageWriter writer;
  WriteResponse(std::move(answer), writer);
  return writer.Finish();
}

grpc::ByteBuffer WriteStreamResponse(uint64_t id, AttendAnswer answer) {
  MessageWriter writer;
  WriteResponse(std::move(answer), writer);
  v1::AttendStreamResponse head;
  head.set_id(id);
  std::string front = head.SerializeAsString();
  absl::StrAppend(&front, LengthPrefix(v1::AttendStreamResponse::kResponseFieldNumber, writer.size_bytes()).view());
  return writer.Finish(front);
}

grpc::ByteBuffer WriteStreamError(uint64_t id, const absl::Status& status) {
  v1::AttendStreamResponse message;
  message.set_id(id);
  message.mutable_error()->set_code(status.raw_code());
  message.mutable_error()->set_message(std::string(status.message()));
  message.mutable_error()->set_retry_after_ms(RetryAfterMs(status));
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

}  // namespace flashcore
