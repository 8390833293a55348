#include "server/rpc/wire_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <limits>
#include <numeric>

#include "absl/base/casts.h"
#include "absl/strings/str_cat.h"
#include "flashcore/v1/attention.pb.h"
#include "server/rpc/chunk_stream.h"

namespace flashcore {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr int kMaxTagBytes = 5;

constexpr uint32_t Tag(int field, WireFormatLite::WireType type) {
  return (static_cast<uint32_t>(field) << WireFormatLite::kTagTypeBits) | static_cast<uint32_t>(type);
}
constexpr uint32_t VarintTag(int field) { return Tag(field, WireFormatLite::WIRETYPE_VARINT); }
constexpr uint32_t FloatTag(int field) { return Tag(field, WireFormatLite::WIRETYPE_FIXED32); }
constexpr uint32_t BytesTag(int field) { return Tag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED); }

size_t TotalBytes(WireChunks chunks) {
  return std::accumulate(chunks.begin(), chunks.end(), size_t{0},
                         [](size_t sum, absl::string_view chunk) { return sum + chunk.size(); });
}

// One walk over one message. Every Read* returns false at the first fault; `status()` then says what it was.
class WireWalker {
 public:
  explicit WireWalker(WireChunks chunks) : stream_(chunks), input_(&stream_), total_bytes_(TotalBytes(chunks)) {}

  absl::Status ReadStreamRequest(WireStreamRequest& result);
  absl::Status ReadRequest(WireRequest& result);

 private:
  // A tag and its handler for each field of the message that ends at the current limit.
  template <typename OnField>
  bool ReadFields(OnField on_field);
  // The submessage that follows, named `name` in errors.
  template <typename OnField>
  bool ReadSubmessage(absl::string_view name, OnField on_field);

  bool ReadAttendFields(WireRequest& result);
  bool ReadAttendField(uint32_t tag, WireRequest& result);
  bool ReadTensor(absl::string_view name, WireTensor& tensor);
  bool ReadTensorField(uint32_t tag, WireTensor& tensor);
  bool ReadPackedShape(WireTensor& tensor);
  bool ReadDimension(WireTensor& tensor);
  bool ReadOptions(WireOptions& options);
  bool ReadOptionsField(uint32_t tag, WireOptions& options);

  bool ReadVarint(uint64_t& value) { return input_.ReadVarint64(&value) || Malformed(); }
  bool ReadInt64(int64_t& value);
  bool ReadEnum(int32_t& value);
  bool ReadBool(bool& value);
  bool ReadFloat(float& value);
  bool ReadLength(int& length_bytes);
  bool ReadRange(WireRange& range);
  bool SkipField(uint32_t tag, int group_depth = 0);
  bool SkipGroup(int field, int group_depth);
  bool SkipBytes(int count) { return input_.Skip(count) || Malformed(); }
  bool NextTag(uint32_t& tag);

  template <typename Read>
  absl::Status ReadWhole(Read read);
  bool Malformed();
  bool Fail(absl::string_view path, absl::string_view what);

  ChunkStream stream_;
  CodedInputStream input_;
  const size_t total_bytes_;
  absl::string_view message_ = "request";  // What errors name.
  int fields_left_ = kMaxWireFields;
  absl::Status status_;
};

bool WireWalker::Fail(absl::string_view path, absl::string_view what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  return false;
}

bool WireWalker::Malformed() {
  return Fail(message_,
              absl::StrCat("got bytes that are truncated or not protobuf near byte ", input_.CurrentPosition(), " of ",
                           total_bytes_, ", want an encoded flashcore.v1 message"));
}

template <typename Read>
absl::Status WireWalker::ReadWhole(Read read) {
  constexpr size_t kMaxBytes = std::numeric_limits<int>::max();
  if (total_bytes_ > kMaxBytes) {
    Fail(message_, absl::StrCat("got ", total_bytes_, " bytes, want at most ", kMaxBytes));
    return status_;
  }
  // With a limit, BytesUntilLimit always knows what is left of the innermost message.
  input_.PushLimit(static_cast<int>(total_bytes_));
  read();
  return status_;
}

absl::Status WireWalker::ReadRequest(WireRequest& result) {
  return ReadWhole([&] { return ReadAttendFields(result); });
}

absl::Status WireWalker::ReadStreamRequest(WireStreamRequest& result) {
  using Message = v1::AttendStreamRequest;
  return ReadWhole([&] {
    return ReadFields([&](uint32_t tag) {
      switch (tag) {
        case VarintTag(Message::kIdFieldNumber):
          return ReadVarint(result.id);
        case BytesTag(Message::kRequestFieldNumber):
          return ReadSubmessage("request", [&](uint32_t inner) { return ReadAttendField(inner, result.request); });
        default:
          return SkipField(tag);
      }
    });
  });
}

bool WireWalker::NextTag(uint32_t& tag) {
  if (--fields_left_ < 0) {
    return Fail(message_, absl::StrCat("got a message of more than ", kMaxWireFields, " fields, want fewer"));
  }
  uint64_t value = 0;
  const int start = input_.CurrentPosition();
  if (!ReadVarint(value)) return false;
  // As the generated parser: a tag has 32 bits, in no more bytes than those need.
  const bool well_formed =
      value <= std::numeric_limits<uint32_t>::max() && input_.CurrentPosition() - start <= kMaxTagBytes;
  tag = static_cast<uint32_t>(value);
  return (well_formed && WireFormatLite::GetTagFieldNumber(tag) != 0) || Malformed();
}

template <typename OnField>
bool WireWalker::ReadFields(OnField on_field) {
  while (input_.BytesUntilLimit() > 0) {
    uint32_t tag = 0;
    if (!NextTag(tag) || !on_field(tag)) return false;
  }
  return true;
}

template <typename OnField>
bool WireWalker::ReadSubmessage(absl::string_view name, OnField on_field) {
  int length_bytes = 0;
  if (!ReadLength(length_bytes)) return false;
  const absl::string_view outer = message_;
  message_ = name;
  const CodedInputStream::Limit limit = input_.PushLimit(length_bytes);
  if (!ReadFields(on_field)) return false;
  input_.PopLimit(limit);
  message_ = outer;
  return true;
}

bool WireWalker::ReadAttendFields(WireRequest& result) {
  return ReadFields([&](uint32_t tag) { return ReadAttendField(tag, result); });
}

bool WireWalker::ReadAttendField(uint32_t tag, WireRequest& result) {
  using Message = v1::AttendRequest;
  switch (tag) {
    case BytesTag(Message::kQFieldNumber):
      return ReadTensor("q", result.q);
    case BytesTag(Message::kKFieldNumber):
      return ReadTensor("k", result.k);
    case BytesTag(Message::kVFieldNumber):
      return ReadTensor("v", result.v);
    case BytesTag(Message::kOptionsFieldNumber):
      return ReadOptions(result.options);
    case VarintTag(Message::kPriorityFieldNumber):
      return ReadEnum(result.priority);
    default:
      return SkipField(tag);
  }
}

bool WireWalker::ReadTensor(absl::string_view name, WireTensor& tensor) {
  tensor.present = true;
  return ReadSubmessage(name, [&](uint32_t tag) { return ReadTensorField(tag, tensor); });
}

bool WireWalker::ReadTensorField(uint32_t tag, WireTensor& tensor) {
  using Message = v1::Tensor;
  switch (tag) {
    case VarintTag(Message::kDtypeFieldNumber):
      return ReadEnum(tensor.dtype);
    case VarintTag(Message::kShapeFieldNumber):
      return ReadDimension(tensor);
    case BytesTag(Message::kShapeFieldNumber):
      return ReadPackedShape(tensor);
    case VarintTag(Message::kLayoutFieldNumber):
      return ReadEnum(tensor.layout);
    case BytesTag(Message::kDataFieldNumber):
      return ReadRange(tensor.data);
    default:
      return SkipField(tag);
  }
}

bool WireWalker::ReadPackedShape(WireTensor& tensor) {
  int length_bytes = 0;
  if (!ReadLength(length_bytes)) return false;
  const CodedInputStream::Limit limit = input_.PushLimit(length_bytes);
  while (input_.BytesUntilLimit() > 0) {
    if (!ReadDimension(tensor)) return false;
  }
  input_.PopLimit(limit);
  return true;
}

bool WireWalker::ReadDimension(WireTensor& tensor) {
  if (tensor.rank == kTensorRank) {
    return Fail(absl::StrCat(message_, ".shape"),
                absl::StrCat("got more than ", kTensorRank, " dimensions, want exactly ", kTensorRank));
  }
  return ReadInt64(tensor.shape[tensor.rank++]);
}

bool WireWalker::ReadOptions(WireOptions& options) {
  return ReadSubmessage("options", [&](uint32_t tag) { return ReadOptionsField(tag, options); });
}

bool WireWalker::ReadOptionsField(uint32_t tag, WireOptions& options) {
  using Message = v1::AttentionOptions;
  switch (tag) {
    case VarintTag(Message::kCausalFieldNumber):
      return ReadBool(options.causal);
    case FloatTag(Message::kSmScaleFieldNumber):
      return ReadFloat(options.sm_scale.emplace());
    case FloatTag(Message::kLogitsSoftCapFieldNumber):
      return ReadFloat(options.logits_soft_cap);
    case VarintTag(Message::kWindowLeftFieldNumber):
      return ReadInt64(options.window_left.emplace());
    case VarintTag(Message::kWindowRightFieldNumber):
      return ReadInt64(options.window_right.emplace());
    case VarintTag(Message::kReturnLseFieldNumber):
      return ReadBool(options.return_lse);
    default:
      return SkipField(tag);
  }
}

bool WireWalker::ReadInt64(int64_t& value) {
  uint64_t bits = 0;
  if (!ReadVarint(bits)) return false;
  value = static_cast<int64_t>(bits);
  return true;
}

bool WireWalker::ReadEnum(int32_t& value) {
  uint64_t bits = 0;
  if (!ReadVarint(bits)) return false;
  value = static_cast<int32_t>(bits);
  return true;
}

bool WireWalker::ReadBool(bool& value) {
  uint64_t bits = 0;
  if (!ReadVarint(bits)) return false;
  value = bits != 0;
  return true;
}

bool WireWalker::ReadFloat(float& value) {
  uint32_t bits = 0;
  if (!input_.ReadLittleEndian32(&bits)) return Malformed();
  value = absl::bit_cast<float>(bits);
  return true;
}

// Of something that lies wholly within the innermost message.
bool WireWalker::ReadLength(int& length_bytes) {
  uint64_t length = 0;
  if (!ReadVarint(length)) return false;
  if (length > static_cast<uint64_t>(input_.BytesUntilLimit())) return Malformed();
  length_bytes = static_cast<int>(length);
  return true;
}

bool WireWalker::ReadRange(WireRange& range) {
  int length_bytes = 0;
  if (!ReadLength(length_bytes)) return false;
  range.offset_bytes = static_cast<size_t>(input_.CurrentPosition());
  range.length_bytes = static_cast<size_t>(length_bytes);
  return SkipBytes(length_bytes);
}

bool WireWalker::SkipField(uint32_t tag, int group_depth) {
  uint64_t ignored = 0;
  int length_bytes = 0;
  switch (WireFormatLite::GetTagWireType(tag)) {
    case WireFormatLite::WIRETYPE_VARINT:
      return ReadVarint(ignored);
    case WireFormatLite::WIRETYPE_FIXED64:
      return SkipBytes(sizeof(uint64_t));
    case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
      return ReadLength(length_bytes) && SkipBytes(length_bytes);
    case WireFormatLite::WIRETYPE_START_GROUP:
      return SkipGroup(WireFormatLite::GetTagFieldNumber(tag), group_depth + 1);
    case WireFormatLite::WIRETYPE_FIXED32:
      return SkipBytes(sizeof(uint32_t));
    default:
      return Malformed();
  }
}

bool WireWalker::SkipGroup(int field, int group_depth) {
  if (group_depth > kMaxWireGroupDepth) {
    return Fail(message_, absl::StrCat("got groups nested more than ", kMaxWireGroupDepth, " deep, want fewer"));
  }
  uint32_t tag = 0;
  while (NextTag(tag)) {
    if (tag == Tag(field, WireFormatLite::WIRETYPE_END_GROUP)) return true;
    if (!SkipField(tag, group_depth)) return false;
  }
  return false;
}

}  // namespace

absl::Status ReadAttendRequest(WireChunks chunks, WireRequest& result) {
  return WireWalker(chunks).ReadRequest(result);
}

absl::Status ReadAttendStreamRequest(WireChunks chunks, WireStreamRequest& result) {
  return WireWalker(chunks).ReadStreamRequest(result);
}

}  // namespace flashcore
