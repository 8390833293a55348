#include "client/wire_types.h"

#include "absl/strings/string_view.h"
#include "client/attend.h"

namespace flashcore {
namespace {

constexpr char kRetryPushbackKey[] = "grpc-retry-pushback-ms";

}  // namespace

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

v1::Layout ToWire(Layout layout) { return layout == Layout::kBhsd ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD; }

v1::Priority ToWire(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return v1::PRIORITY_LOW;
    case Priority::kNormal:
      return v1::PRIORITY_NORMAL;
    case Priority::kHigh:
      return v1::PRIORITY_HIGH;
  }
  return v1::PRIORITY_UNSPECIFIED;
}

std::optional<DType> DTypeFromWire(int dtype) {
  for (const DType known : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    if (dtype == ToWire(known)) return known;
  }
  return std::nullopt;
}

Layout LayoutFromWire(int layout) { return layout == v1::LAYOUT_BSHD ? Layout::kBshd : Layout::kBhsd; }

absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return absl::OkStatus();
  // The codes of gRPC and Abseil are numerically equal.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto hint = trailers.find(kRetryPushbackKey);
  if (hint != trailers.end()) {
    SetRetryAfter(result, absl::string_view(hint->second.data(), hint->second.size()));
  }
  return result;
}

}  // namespace flashcore
