// One attention request and its answer, as the client's user sees them. No gRPC, no protobuf.
#ifndef FLASHCORE_CLIENT_ATTEND_H_
#define FLASHCORE_CLIENT_ATTEND_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/tensor.h"

namespace flashcore {

// The wire contract's AttentionOptions. With i' = i + (Skv - Sq), query i sees key j iff j <= i' (causal),
// i' - window_left <= j (window_left >= 0) and j <= i' + window_right (window_right >= 0).
struct AttendOptions {
  bool causal = false;
  std::optional<float> sm_scale = std::nullopt;  // Multiplies Q K^T; absent: 1 / sqrt(head_dim).
  float logits_soft_cap = 0.0f;                  // c > 0: x -> c * tanh(x / c). 0: off.
  int64_t window_left = -1;                      // In keys; -1: off.
  int64_t window_right = -1;                     // In keys; -1: off.
  bool return_lse = false;                       // Also return each row's log-sum-exp.
};

// The wire contract's Priority: which requests a busy server computes first, and which it turns away last.
enum class Priority : uint8_t {
  kLow,  // What can wait: only half of the server's places and memory are open to it.
  kNormal,
  kHigh,  // What somebody waits for: some places and memory are kept for it.
};

// "low", "normal", "high".
absl::string_view Name(Priority priority);
std::optional<Priority> PriorityFromName(absl::string_view name);

// Where the server spent the request's time, in nanoseconds on its own clock.
struct ServerTiming {
  int64_t receive_ns = 0;
  int64_t admit_ns = 0;
  int64_t stage_ns = 0;
  int64_t queue_ns = 0;
  int64_t upload_ns = 0;
  int64_t compute_ns = 0;
  int64_t download_ns = 0;
  int64_t total_ns = 0;    // From the arrival of the complete request to the building of the answer.
  int64_t batch_size = 0;  // Requests that shared the launch, this one included.
  std::string kernel;      // For example "cpu/AVX3".
};

struct AttendResult {
  Tensor o;                   // [B, Hq, Sq, D] in q's layout, q's dtype.
  std::optional<Tensor> lse;  // [B, Hq, Sq] fp32, natural logarithm; present iff it was asked for.
  ServerTiming timing;
};

using AttendCallback = absl::AnyInvocable<void(absl::StatusOr<AttendResult>)>;

// When the server says to try again, if `status` carries such a hint, as its RESOURCE_EXHAUSTED does.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

// Gives `status`, not OK, the hint as the wire writes it: a decimal number. Anything else reads as no hint.
void SetRetryAfter(absl::Status& status, absl::string_view milliseconds);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_ATTEND_H_
