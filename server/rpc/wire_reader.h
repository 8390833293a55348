// Reads the protobuf wire format of AttendRequest and AttendStreamRequest without copying a tensor's bytes: the input
// is a sequence of chunks, as it came off the network, and `Tensor.data` is answered with where it lies in that
// sequence.
//
// What it accepts is what the generated proto3 parser accepts (unknown fields are skipped, the last value of a scalar
// wins, repeated submessages merge, shapes packed or not), except that it bounds its own work:
//   - a shape longer than kTensorRank is refused as soon as that is seen;
//   - a message of more than kMaxWireFields fields, unknown ones included, is refused.
// Nothing here looks at what the values mean; that is request_check.h.
//
// Free of gRPC, so that it can be fuzzed and tested alone. Pure functions, safe on any thread.
#ifndef FLASHCORE_SERVER_RPC_WIRE_READER_H_
#define FLASHCORE_SERVER_RPC_WIRE_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace flashcore {

inline constexpr size_t kTensorRank = 4;
// Fields of one message, nested ones included. An ordinary request has about 20.
inline constexpr int kMaxWireFields = 1024;
// Groups, the one construct of the format that nests without a length. We have none; unknown ones are skipped.
inline constexpr int kMaxWireGroupDepth = 16;

// A stretch of the chunk sequence, in bytes from its start.
struct WireRange {
  size_t offset_bytes = 0;
  size_t length_bytes = 0;
};

struct WireTensor {
  bool present = false;
  int32_t dtype = 0;  // A v1::DType, or any other number the client sent.
  size_t rank = 0;    // At most kTensorRank.
  std::array<int64_t, kTensorRank> shape = {};
  int32_t layout = 0;  // A v1::Layout, or any other number.
  WireRange data;
};

struct WireOptions {
  bool causal = false;
  std::optional<float> sm_scale;
  float logits_soft_cap = 0.0f;
  std::optional<int64_t> window_left;
  std::optional<int64_t> window_right;
  bool return_lse = false;
};

struct WireRequest {
  WireTensor q;
  WireTensor k;
  WireTensor v;
  WireOptions options;
  int32_t priority = 0;  // A v1::Priority, or any other number.
};

struct WireStreamRequest {
  uint64_t id = 0;
  WireRequest request;
};

using WireChunks = absl::Span<const absl::string_view>;

// Fills a fresh `result`. INVALID_ARGUMENT "<field>: ...": not the encoding of an AttendRequest, or beyond the bounds
// above. `<field>` is the innermost message at fault ("q"), or "request".
absl::Status ReadAttendRequest(WireChunks chunks, WireRequest& result);

// The same for AttendStreamRequest. `result.id` is filled even on failure if it came before the fault, so that the
// answer can carry it.
absl::Status ReadAttendStreamRequest(WireChunks chunks, WireStreamRequest& result);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_WIRE_READER_H_
