// What the contract demands of a request's fields, checked before a tensor byte is touched.
#ifndef FLASHCORE_SERVER_RPC_REQUEST_CHECK_H_
#define FLASHCORE_SERVER_RPC_REQUEST_CHECK_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/rpc/wire_reader.h"
#include "server/telemetry/priority.h"

namespace flashcore {

// What this service takes, as GetServerInfo says. Backends may take less; that is theirs to say.
inline constexpr int64_t kMinHeadDim = 8;
inline constexpr int64_t kHeadDimMultiple = 8;

// Memory order of a rank-4 tensor, outermost first: [batch, heads, sequence, head_dim] or [batch, sequence, heads,
// ...].
enum class TensorLayout : uint8_t { kBhsd, kBshd };

// A request that keeps the contract. Data ranges are exactly as long as the shapes say.
struct CheckedRequest {
  // Pointers unset; strides by layout, those of O as Q's. Windows that reach past every key are cut to q_len + kv_len,
  // so that positions never overflow.
  AttentionProblem problem;
  bool return_lse = false;
  Priority priority = Priority::kNormal;
  TensorLayout q_layout = TensorLayout::kBhsd;  // Also O's.
  WireRange q;
  WireRange k;
  WireRange v;
};

// INVALID_ARGUMENT "<field path>: got <what came>, want <what would be right>", for the first field at fault.
absl::StatusOr<CheckedRequest> CheckRequest(const WireRequest& request);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_REQUEST_CHECK_H_
