#include "client/wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/wire_types.h"
#include "flashcore/v1/attention.pb.h"

namespace flashcore {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// protobuf's own bound on a message.
constexpr uint64_t kMaxMessageBytes = std::numeric_limits<int32_t>::max();

void AppendVarint(std::string& out, uint64_t value) {
  constexpr uint64_t kPayload = 0x7f;
  constexpr int kPayloadBits = 7;
  while (value > kPayload) {
    out.push_back(static_cast<char>((value & kPayload) | (kPayload + 1)));
    value >>= kPayloadBits;
  }
  out.push_back(static_cast<char>(value));
}

void AppendLengthDelimitedTag(std::string& out, int field, uint64_t length) {
  AppendVarint(out, WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  AppendVarint(out, length);
}

// Everything of one tensor field up to, and without, its bytes.
std::string EncodeTensorHeader(int field, const Tensor& tensor) {
  v1::Tensor header;
  header.set_dtype(ToWire(tensor.dtype()));
  for (const int64_t dim : tensor.shape()) header.add_shape(dim);
  header.set_layout(ToWire(tensor.layout()));
  std::string inner = header.SerializeAsString();
  AppendLengthDelimitedTag(inner, v1::Tensor::kDataFieldNumber, tensor.size_bytes());

  std::string out;
  AppendLengthDelimitedTag(out, field, inner.size() + tensor.size_bytes());
  return out + inner;
}

std::string EncodeOptions(const AttendOptions& options) {
  v1::AttentionOptions message;
  message.set_causal(options.causal);
  if (options.sm_scale.has_value()) message.set_sm_scale(*options.sm_scale);
  message.set_logits_soft_cap(options.logits_soft_cap);
  message.set_window_left(options.window_left);
  message.set_window_right(options.window_right);
  message.set_return_lse(options.return_lse);
  std::string out;
  AppendLengthDelimitedTag(out, v1::AttendRequest::kOptionsFieldNumber, message.ByteSizeLong());
  return out + message.SerializeAsString();
}

std::string EncodePriority(Priority priority) {
  std::string out;
  AppendVarint(out, WireFormatLite::MakeTag(v1::AttendRequest::kPriorityFieldNumber, WireFormatLite::WIRETYPE_VARINT));
  AppendVarint(out, static_cast<uint64_t>(ToWire(priority)));
  return out;
}

grpc::Slice SliceOver(const Tensor& tensor) {
  using Owner = std::shared_ptr<const void>;
  // gRPC wants a mutable pointer, and does not write through it.
  return {const_cast<void*>(tensor.data()), tensor.size_bytes(),
          [](void* owner) { std::unique_ptr<Owner>(static_cast<Owner*>(owner)).reset(); },
          std::make_unique<Owner>(tensor.owner()).release()};
}

// Whether a tensor's bytes are wanted, or only their number.
enum class TensorBytes : uint8_t { kCopy, kSkip };

// What one Tensor message holds.
struct WireTensor {
  uint32_t dtype = v1::DTYPE_UNSPECIFIED;
  uint32_t layout = v1::LAYOUT_UNSPECIFIED;
  std::vector<int64_t> shape;
  std::unique_ptr<std::byte[]> bytes;  // nullptr if they are skipped.
  size_t size_bytes = 0;
};

bool ReadDim(CodedInputStream& in, std::vector<int64_t>& shape) {
  uint64_t dim = 0;
  if (!in.ReadVarint64(&dim)) return false;
  shape.push_back(static_cast<int64_t>(dim));
  return true;
}

// Calls read(in) until the length-delimited field that starts here ends.
template <typename Read>
bool ReadDelimited(CodedInputStream& in, Read read) {
  uint32_t length = 0;
  if (!in.ReadVarint32(&length) || length > kMaxMessageBytes) return false;
  // PushLimit never widens an outer limit, so a field that claims more than its message holds shows here.
  const CodedInputStream::Limit limit = in.PushLimit(static_cast<int>(length));
  if (in.BytesUntilLimit() != static_cast<int>(length)) return false;
  while (in.BytesUntilLimit() > 0) {
    if (!read(in)) return false;
  }
  in.PopLimit(limit);
  return true;
}

bool ReadData(CodedInputStream& in, TensorBytes mode, WireTensor& tensor) {
  uint32_t length = 0;
  if (!in.ReadVarint32(&length) || length > static_cast<uint32_t>(in.BytesUntilLimit())) return false;
  if (mode == TensorBytes::kSkip) {
    tensor.size_bytes = length;
    return in.Skip(static_cast<int>(length));
  }
  tensor.bytes = std::make_unique_for_overwrite<std::byte[]>(length);
  tensor.size_bytes = length;
  return in.ReadRaw(tensor.bytes.get(), static_cast<int>(length));
}

bool ReadTensorField(CodedInputStream& in, TensorBytes mode, WireTensor& tensor) {
  constexpr uint32_t kDType = WireFormatLite::MakeTag(v1::Tensor::kDtypeFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  constexpr uint32_t kLayout = WireFormatLite::MakeTag(v1::Tensor::kLayoutFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  constexpr uint32_t kDim = WireFormatLite::MakeTag(v1::Tensor::kShapeFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  constexpr uint32_t kShape =
      WireFormatLite::MakeTag(v1::Tensor::kShapeFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  constexpr uint32_t kData =
      WireFormatLite::MakeTag(v1::Tensor::kDataFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  const uint32_t tag = in.ReadTag();
  switch (tag) {
    case 0:
      return false;
    case kDType:
      return in.ReadVarint32(&tensor.dtype);
    case kLayout:
      return in.ReadVarint32(&tensor.layout);
    case kDim:
      return ReadDim(in, tensor.shape);
    case kShape:
      return ReadDelimited(in, [&tensor](CodedInputStream& dims) { return ReadDim(dims, tensor.shape); });
    case kData:
      return ReadData(in, mode, tensor);
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

struct WireResponse {
  std::optional<WireTensor> o;
  std::optional<WireTensor> lse;
  v1::Timing timing;
};

// An AttendStreamResponse.
struct WireStreamResponse {
  uint64_t id = 0;
  std::optional<WireResponse> response;
  std::optional<v1::Error> error;
};

constexpr uint32_t DelimitedTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

bool ReadTensor(CodedInputStream& in, TensorBytes mode, std::optional<WireTensor>& tensor) {
  tensor.emplace();
  return ReadDelimited(in, [&](CodedInputStream& fields) { return ReadTensorField(fields, mode, *tensor); });
}

bool ReadResponseField(CodedInputStream& in, TensorBytes mode, WireResponse& response) {
  const uint32_t tag = in.ReadTag();
  switch (tag) {
    case 0:
      return false;
    case DelimitedTag(v1::AttendResponse::kOFieldNumber):
      return ReadTensor(in, mode, response.o);
    case DelimitedTag(v1::AttendResponse::kLseFieldNumber):
      return ReadTensor(in, mode, response.lse);
    case DelimitedTag(v1::AttendResponse::kTimingFieldNumber):
      return WireFormatLite::ReadMessage(&in, &response.timing);
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

bool ReadStreamResponseField(CodedInputStream& in, TensorBytes mode, WireStreamResponse& message) {
  constexpr uint32_t kId =
      WireFormatLite::MakeTag(v1::AttendStreamResponse::kIdFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  const uint32_t tag = in.ReadTag();
  switch (tag) {
    case 0:
      return false;
    case kId:
      return in.ReadVarint64(&message.id);
    case DelimitedTag(v1::AttendStreamResponse::kResponseFieldNumber):
      message.response.emplace();
      return ReadDelimited(
          in, [&](CodedInputStream& fields) { return ReadResponseField(fields, mode, *message.response); });
    case DelimitedTag(v1::AttendStreamResponse::kErrorFieldNumber):
      return WireFormatLite::ReadMessage(&in, &message.error.emplace());
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

// Calls read(in) until the message ends. A buffer can be read any number of times.
template <typename Read>
bool ReadMessage(grpc::ByteBuffer& buffer, Read read) {
  if (buffer.Length() > kMaxMessageBytes) return false;
  grpc::ProtoBufferReader reader(&buffer);
  if (!reader.status().ok()) return false;
  CodedInputStream in(&reader);
  const CodedInputStream::Limit limit = in.PushLimit(static_cast<int>(buffer.Length()));
  while (in.BytesUntilLimit() > 0) {
    if (!read(in)) return false;
  }
  in.PopLimit(limit);
  return true;
}

absl::Status Nonsense(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the server's answer makes no sense: ", what));
}

// Whether `wire` is the tensor that an answer must hold, as far as can be seen without its bytes.
absl::Status CheckTensor(absl::string_view name, const std::optional<WireTensor>& wire, const TensorSpec& expected) {
  if (!wire.has_value()) return Nonsense(absl::StrCat(name, " is missing"));
  const std::optional<DType> dtype = DTypeFromWire(static_cast<int>(wire->dtype));
  if (!dtype.has_value()) return Nonsense(absl::StrCat(name, ".dtype is ", wire->dtype));
  const Layout layout = LayoutFromWire(static_cast<int>(wire->layout));
  if (*dtype != expected.dtype || layout != expected.layout || wire->shape != expected.shape) {
    const TensorSpec spec{.dtype = *dtype, .shape = wire->shape, .layout = layout};
    return Nonsense(absl::StrCat(name, " is ", ToString(spec), ", and should be ", ToString(expected)));
  }
  // `expected` describes tensors that exist, so the product cannot overflow.
  size_t expected_bytes = SizeOf(expected.dtype);
  for (const int64_t dim : expected.shape) expected_bytes *= static_cast<size_t>(dim);
  if (wire->size_bytes == expected_bytes) return absl::OkStatus();
  return Nonsense(absl::StrCat(name, ".data has ", wire->size_bytes, " bytes, and should have ", expected_bytes));
}

// [B, Hq, Sq] whatever q's layout.
TensorSpec LseSpec(const TensorSpec& q) {
  TensorSpec spec{.dtype = DType::kFloat32, .shape = q.shape, .layout = Layout::kBhsd};
  constexpr size_t kRank = 4;
  if (spec.shape.size() != kRank) return spec;
  if (q.layout == Layout::kBshd) std::swap(spec.shape[1], spec.shape[2]);
  spec.shape.pop_back();
  return spec;
}

ServerTiming FromWire(const v1::Timing& timing) {
  return {.receive_ns = timing.receive_ns(),
          .admit_ns = timing.admit_ns(),
          .stage_ns = timing.stage_ns(),
          .queue_ns = timing.queue_ns(),
          .upload_ns = timing.upload_ns(),
          .compute_ns = timing.compute_ns(),
          .download_ns = timing.download_ns(),
          .total_ns = timing.total_ns(),
          .batch_size = timing.batch_size(),
          .kernel = timing.kernel()};
}

absl::Status CheckResponse(const WireResponse& wire, const TensorSpec& q, bool return_lse) {
  if (absl::Status o = CheckTensor("o", wire.o, q); !o.ok()) return o;
  return return_lse ? CheckTensor("lse", wire.lse, LseSpec(q)) : absl::OkStatus();
}

absl::StatusOr<AttendResult> ToResult(WireResponse& wire, const TensorSpec& q, bool return_lse) {
  if (absl::Status right = CheckResponse(wire, q, return_lse); !right.ok()) return right;
  AttendResult result{.o = Tensor::FromBytes(q, std::move(wire.o->bytes)), .lse = {}, .timing = FromWire(wire.timing)};
  if (return_lse) result.lse = Tensor::FromBytes(LseSpec(q), std::move(wire.lse->bytes));
  return result;
}

absl::StatusOr<AnswerSummary> ToSummary(const WireResponse& wire, const TensorSpec& q, bool return_lse) {
  if (absl::Status right = CheckResponse(wire, q, return_lse); !right.ok()) return right;
  return AnswerSummary{.timing = FromWire(wire.timing),
                       .tensor_bytes = wire.o->size_bytes + (return_lse ? wire.lse->size_bytes : 0)};
}

absl::StatusOr<WireResponse> ReadResponse(grpc::ByteBuffer& buffer, TensorBytes mode) {
  WireResponse wire;
  if (ReadMessage(buffer, [&](CodedInputStream& in) { return ReadResponseField(in, mode, wire); })) return wire;
  return Nonsense("it is not an AttendResponse");
}

absl::Status FromWire(const v1::Error& error) {
  // OK is no error, and absl::Status would take it for one that went well.
  if (error.code() == 0) return Nonsense("an error without a code");
  absl::Status status(static_cast<absl::StatusCode>(error.code()), error.message());
  if (error.retry_after_ms() > 0) SetRetryAfter(status, absl::StrCat(error.retry_after_ms()));
  return status;
}

// The answer in an AttendStreamResponse; an error in band is this call's status.
absl::StatusOr<WireResponse> ReadStreamResponse(grpc::ByteBuffer& buffer, TensorBytes mode) {
  WireStreamResponse wire;
  if (!ReadMessage(buffer, [&](CodedInputStream& in) { return ReadStreamResponseField(in, mode, wire); })) {
    return Nonsense("it is not an AttendStreamResponse");
  }
  if (wire.error.has_value()) return FromWire(*wire.error);
  if (!wire.response.has_value()) return Nonsense("neither an answer nor an error");
  return *std::move(wire.response);
}

}  // namespace

absl::StatusOr<std::vector<grpc::Slice>> EncodeAttendRequestSlices(const Tensor& q, const Tensor& k, const Tensor& v,
                                                                   const AttendOptions& options, Priority priority) {
  const std::vector<std::pair<int, const Tensor*>> tensors = {{v1::AttendRequest::kQFieldNumber, &q},
                                                              {v1::AttendRequest::kKFieldNumber, &k},
                                                              {v1::AttendRequest::kVFieldNumber, &v}};
  std::vector<grpc::Slice> slices;
  slices.reserve(2 * tensors.size() + 2);
  for (const auto& [field, tensor] : tensors) {
    slices.emplace_back(EncodeTensorHeader(field, *tensor));
    slices.push_back(SliceOver(*tensor));
  }
  slices.emplace_back(EncodeOptions(options));
  slices.emplace_back(EncodePriority(priority));

  uint64_t total_bytes = 0;
  for (const grpc::Slice& slice : slices) total_bytes += slice.size();
  if (total_bytes > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request has ", total_bytes, " bytes; a message can have at most ", kMaxMessageBytes));
  }
  return slices;
}

absl::StatusOr<grpc::ByteBuffer> EncodeAttendRequest(const Tensor& q, const Tensor& k, const Tensor& v,
                                                     const AttendOptions& options, Priority priority) {
  const absl::StatusOr<std::vector<grpc::Slice>> slices = EncodeAttendRequestSlices(q, k, v, options, priority);
  if (!slices.ok()) return slices.status();
  return grpc::ByteBuffer(slices->data(), slices->size());
}

grpc::Slice EncodeStreamRequestPrefix(uint64_t id, size_t request_bytes) {
  std::string prefix;
  AppendVarint(prefix,
               WireFormatLite::MakeTag(v1::AttendStreamRequest::kIdFieldNumber, WireFormatLite::WIRETYPE_VARINT));
  AppendVarint(prefix, id);
  AppendLengthDelimitedTag(prefix, v1::AttendStreamRequest::kRequestFieldNumber, request_bytes);
  return {prefix.data(), prefix.size()};
}

absl::StatusOr<AttendResult> ParseAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse) {
  absl::StatusOr<WireResponse> wire = ReadResponse(response, TensorBytes::kCopy);
  if (!wire.ok()) return wire.status();
  return ToResult(*wire, q, return_lse);
}

absl::StatusOr<AnswerSummary> SummarizeAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q,
                                                      bool return_lse) {
  const absl::StatusOr<WireResponse> wire = ReadResponse(response, TensorBytes::kSkip);
  if (!wire.ok()) return wire.status();
  return ToSummary(*wire, q, return_lse);
}

absl::StatusOr<uint64_t> ReadStreamResponseId(grpc::ByteBuffer& response) {
  WireStreamResponse wire;
  const auto read = [&wire](CodedInputStream& in) { return ReadStreamResponseField(in, TensorBytes::kSkip, wire); };
  if (!ReadMessage(response, read)) return Nonsense("it is not an AttendStreamResponse");
  return wire.id;
}

absl::StatusOr<AttendResult> ParseStreamResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse) {
  absl::StatusOr<WireResponse> wire = ReadStreamResponse(response, TensorBytes::kCopy);
  if (!wire.ok()) return wire.status();
  return ToResult(*wire, q, return_lse);
}

absl::StatusOr<AnswerSummary> SummarizeStreamResponse(grpc::ByteBuffer& response, const TensorSpec& q,
                                                      bool return_lse) {
  const absl::StatusOr<WireResponse> wire = ReadStreamResponse(response, TensorBytes::kSkip);
  if (!wire.ok()) return wire.status();
  return ToSummary(*wire, q, return_lse);
}

}  // namespace flashcore
