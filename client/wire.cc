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
#include "flashcore/v1/attention.pb.h"

namespace flashcore {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// protobuf's own bound on a message.
constexpr uint64_t kMaxMessageBytes = std::numeric_limits<int32_t>::max();

v1::DType ToWire(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return v1::DTYPE_FP16;
    case DType::kBFloat16:
      return v1::DTYPE_BF16;
    case DType::kFloat32:
      return v1::DTYPE_FP32;
  }
  return v1::DTYPE_UNSPECIFIED;
}

std::optional<DType> DTypeFromWire(uint32_t dtype) {
  switch (dtype) {
    case v1::DTYPE_FP16:
      return DType::kFloat16;
    case v1::DTYPE_BF16:
      return DType::kBFloat16;
    case v1::DTYPE_FP32:
      return DType::kFloat32;
    default:
      return std::nullopt;
  }
}

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
  header.set_layout(tensor.layout() == Layout::kBhsd ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD);
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

grpc::Slice SliceOver(const Tensor& tensor) {
  using Owner = std::shared_ptr<const void>;
  // gRPC wants a mutable pointer, and does not write through it.
  return {const_cast<void*>(tensor.data()), tensor.size_bytes(),
          [](void* owner) { std::unique_ptr<Owner>(static_cast<Owner*>(owner)).reset(); },
          std::make_unique<Owner>(tensor.owner()).release()};
}

// What one Tensor message holds.
struct WireTensor {
  uint32_t dtype = v1::DTYPE_UNSPECIFIED;
  uint32_t layout = v1::LAYOUT_UNSPECIFIED;
  std::vector<int64_t> shape;
  std::unique_ptr<std::byte[]> bytes;
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

bool ReadData(CodedInputStream& in, WireTensor& tensor) {
  uint32_t length = 0;
  if (!in.ReadVarint32(&length) || length > static_cast<uint32_t>(in.BytesUntilLimit())) return false;
  tensor.bytes = std::make_unique_for_overwrite<std::byte[]>(length);
  tensor.size_bytes = length;
  return in.ReadRaw(tensor.bytes.get(), static_cast<int>(length));
}

bool ReadTensorField(CodedInputStream& in, WireTensor& tensor) {
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
      return ReadData(in, tensor);
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

struct WireResponse {
  std::optional<WireTensor> o;
  std::optional<WireTensor> lse;
  v1::Timing timing;
};

bool ReadTensor(CodedInputStream& in, std::optional<WireTensor>& tensor) {
  tensor.emplace();
  return ReadDelimited(in, [&tensor](CodedInputStream& fields) { return ReadTensorField(fields, *tensor); });
}

bool ReadResponseField(CodedInputStream& in, uint32_t tag, WireResponse& response) {
  constexpr uint32_t kO =
      WireFormatLite::MakeTag(v1::AttendResponse::kOFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  constexpr uint32_t kLse =
      WireFormatLite::MakeTag(v1::AttendResponse::kLseFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  constexpr uint32_t kTiming =
      WireFormatLite::MakeTag(v1::AttendResponse::kTimingFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  switch (tag) {
    case kO:
      return ReadTensor(in, response.o);
    case kLse:
      return ReadTensor(in, response.lse);
    case kTiming:
      return WireFormatLite::ReadMessage(&in, &response.timing);
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

bool ReadResponse(grpc::ByteBuffer& buffer, WireResponse& response) {
  grpc::ProtoBufferReader reader(&buffer);
  if (!reader.status().ok()) return false;
  CodedInputStream in(&reader);
  const CodedInputStream::Limit limit = in.PushLimit(static_cast<int>(buffer.Length()));
  while (in.BytesUntilLimit() > 0) {
    const uint32_t tag = in.ReadTag();
    if (tag == 0 || !ReadResponseField(in, tag, response)) return false;
  }
  in.PopLimit(limit);
  return true;
}

absl::Status Nonsense(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the server's answer makes no sense: ", what));
}

absl::StatusOr<Tensor> ToTensor(absl::string_view name, std::optional<WireTensor>& wire, const TensorSpec& expected) {
  if (!wire.has_value()) return Nonsense(absl::StrCat(name, " is missing"));
  const std::optional<DType> dtype = DTypeFromWire(wire->dtype);
  if (!dtype.has_value()) return Nonsense(absl::StrCat(name, ".dtype is ", wire->dtype));
  TensorSpec spec{.dtype = *dtype,
                  .shape = std::move(wire->shape),
                  .layout = wire->layout == v1::LAYOUT_BSHD ? Layout::kBshd : Layout::kBhsd};
  if (spec != expected) {
    return Nonsense(absl::StrCat(name, " is ", ToString(spec), ", and should be ", ToString(expected)));
  }
  // `expected` describes tensors that exist, so the product cannot overflow.
  size_t expected_bytes = SizeOf(spec.dtype);
  for (const int64_t dim : spec.shape) expected_bytes *= static_cast<size_t>(dim);
  if (wire->size_bytes != expected_bytes) {
    return Nonsense(absl::StrCat(name, ".data has ", wire->size_bytes, " bytes, and should have ", expected_bytes));
  }
  return Tensor::FromBytes(std::move(spec), std::move(wire->bytes));
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

}  // namespace

absl::StatusOr<grpc::ByteBuffer> EncodeAttendRequest(const Tensor& q, const Tensor& k, const Tensor& v,
                                                     const AttendOptions& options) {
  const std::vector<std::pair<int, const Tensor*>> tensors = {{v1::AttendRequest::kQFieldNumber, &q},
                                                              {v1::AttendRequest::kKFieldNumber, &k},
                                                              {v1::AttendRequest::kVFieldNumber, &v}};
  std::vector<grpc::Slice> slices;
  slices.reserve(2 * tensors.size() + 1);
  for (const auto& [field, tensor] : tensors) {
    slices.emplace_back(EncodeTensorHeader(field, *tensor));
    slices.push_back(SliceOver(*tensor));
  }
  slices.emplace_back(EncodeOptions(options));

  uint64_t total_bytes = 0;
  for (const grpc::Slice& slice : slices) total_bytes += slice.size();
  if (total_bytes > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request has ", total_bytes, " bytes; a message can have at most ", kMaxMessageBytes));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<AttendResult> ParseAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse) {
  WireResponse wire;
  if (response.Length() > kMaxMessageBytes || !ReadResponse(response, wire)) {
    return Nonsense("it is not an AttendResponse");
  }
  AttendResult result;
  absl::StatusOr<Tensor> o = ToTensor("o", wire.o, q);
  if (!o.ok()) return o.status();
  result.o = *std::move(o);
  if (return_lse) {
    absl::StatusOr<Tensor> lse = ToTensor("lse", wire.lse, LseSpec(q));
    if (!lse.ok()) return lse.status();
    result.lse = *std::move(lse);
  }
  result.timing = FromWire(wire.timing);
  return result;
}

}  // namespace flashcore
