// Attention on a device: the problem, its validation, and the call that runs a batch of problems in one launch.
//
//   S = soft_cap(sm_scale * Q K^T)         O = softmax(mask(S)) V         LSE = log(sum_j exp(S_ij)) over visible j
//
// Shapes (B batch, Hq query heads, Hkv key/value heads with Hkv | Hq, Sq queries, Skv keys, D head_dim):
//   Q, O [B, Hq, Sq, D]     K, V [B, Hkv, Skv, D]     LSE [B, Hq, Sq] float32
// Query head h reads key/value head h / (Hq / Hkv). Softmax and accumulation are FP32 (double in `reference`).
//
// This library knows nothing of gRPC, servers or clocks.
#ifndef FLASHCORE_KERNELS_ATTENTION_H_
#define FLASHCORE_KERNELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/launch_counts.h"

namespace flashcore {

enum class DType : uint8_t { kFloat16, kBFloat16, kFloat32 };

// Bytes of one element.
size_t SizeOf(DType dtype);
// "fp16", "bf16" or "fp32".
absl::string_view Name(DType dtype);

// The kernels' own bound on D. Kernels take every D from 1 up to here unless they say otherwise in CheckSupported.
inline constexpr int64_t kMaxHeadDim = 256;
// The most problems one Launch takes.
inline constexpr size_t kMaxBatchProblems = 128;

// Distances in elements between neighbours along each dimension; along D it is always 1.
struct Strides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;  // Along the sequence.
};

// Strides of a contiguous [B, H, S, D] tensor.
Strides StridesBhsd(int64_t heads, int64_t rows, int64_t head_dim);
// Strides of a contiguous [B, S, H, D] tensor.
Strides StridesBshd(int64_t heads, int64_t rows, int64_t head_dim);

// Which logits exist and how they are shaped. With i' = i + (Skv - Sq) (bottom-right alignment), query i sees key j iff
//   j <= i'                (causal)
//   i' - window_left <= j  (window_left >= 0)
//   j <= i' + window_right (window_right >= 0)
// A row that sees no key gives O = 0 and LSE = -inf.
struct AttentionOptions {
  bool causal = false;
  float sm_scale = 0.0f;         // Finite and > 0; DefaultScale(D) is the usual choice.
  float logits_soft_cap = 0.0f;  // c > 0: x -> c * tanh(x / c). 0: off.
  int64_t window_left = -1;      // -1: off.
  int64_t window_right = -1;     // -1: off.
};

// 1 / sqrt(head_dim).
float DefaultScale(int64_t head_dim);

// One problem. A plain description: owns nothing. Pointers are device pointers where the backend computes on a device
// with its own memory (BackendInfo::device_memory), host pointers otherwise, aligned to the element. The memory must
// stay valid until the launch is complete. O and LSE must not overlap any other tensor of the batch.
struct AttentionProblem {
  DType dtype = DType::kFloat16;  // Of Q, K, V and O.
  int64_t batch = 0;
  int64_t num_qo_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t q_len = 0;
  int64_t kv_len = 0;
  int64_t head_dim = 0;
  AttentionOptions options;
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* o = nullptr;
  float* lse = nullptr;  // nullptr: not wanted. Contiguous [B, Hq, Sq], natural logarithm.
  Strides q_strides;
  Strides k_strides;
  Strides v_strides;
  Strides o_strides;
};

// Checks shapes and options, not pointers or strides: B, Hq, Hkv >= 1, Hkv | Hq, Sq, Skv >= 0 (an empty sequence is
// legal), 1 <= D <= kMaxHeadDim, every tensor's element and byte count fits in int64, options within the bounds above.
// INVALID_ARGUMENT names the field.
absl::Status ValidateProblem(const AttentionProblem& problem);

// Element counts, valid after ValidateProblem.
int64_t QueryElements(const AttentionProblem& problem);     // Of Q and of O.
int64_t KeyValueElements(const AttentionProblem& problem);  // Of K and of V, each.
int64_t LseElements(const AttentionProblem& problem);

// The visible keys [begin, end) of query `row`; begin == end if it sees none.
struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
};
KeyRange VisibleKeys(const AttentionProblem& problem, int64_t row);

// Floating-point operations, by the field's convention: 4 * D per visible (query, key) pair, per query head and batch.
double AttentionFlops(const AttentionProblem& problem);

// What a backend is.
struct BackendInfo {
  std::string backend;         // "reference", "cpu" or "cuda".
  std::string device;          // "NVIDIA L4", or the CPU's model name.
  std::string kernel;          // As reported to clients: "cpu/AVX3", "cuda/scalar".
  std::vector<DType> dtypes;   // What CheckSupported accepts.
  bool device_memory = false;  // Whether problems point into device memory.
  int num_threads = 0;         // CPU threads that compute; 0 where a device does.
};

// Runs batches of problems. Thread-safe: Launch may be called from several threads at once (on different streams).
class AttentionBackend {
 public:
  virtual ~AttentionBackend() = default;

  // Constant for the life of the backend.
  virtual const BackendInfo& info() const = 0;

  // OK if Launch can run this (valid) problem, else UNIMPLEMENTED saying what is missing. Reads no pointers. Cheap.
  virtual absl::Status CheckSupported(const AttentionProblem& problem) const = 0;

  // Computes all problems; at most kMaxBatchProblems, each valid and supported (anything else is a crash in debug
  // builds and undefined otherwise). `stream` is the cudaStream_t to enqueue on for a CUDA backend, and the call
  // returns without waiting; CPU backends ignore it and return when the results are there. A problem's bits do not
  // depend on the rest of the batch. INTERNAL: the device refused.
  virtual absl::Status Launch(absl::Span<const AttentionProblem> problems, void* stream) = 0;

  // What Launch launched so far, by kernel. May outlive the backend. nullptr: this backend has no kernels to tell
  // apart.
  virtual std::shared_ptr<const LaunchCounts> launch_counts() const { return nullptr; }
};

struct BackendOptions {
  // "cpu", "reference", "cuda", or "auto": cuda where this build has it and a device is there, else cpu.
  std::string backend = "auto";
  // Of the backend's kernels, by name; "auto" is the backend's own choice.
  std::string kernel = "auto";
  // CPU threads for "cpu"; 0: one for each CPU that this process may run on.
  int num_threads = 0;
  // Which GPU, as cudaSetDevice counts.
  int device_ordinal = 0;
};

// INVALID_ARGUMENT: no such backend or kernel. UNAVAILABLE: not in this build, or no such device; says which.
absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateBackend(const BackendOptions& options);

}  // namespace flashcore

#endif  // FLASHCORE_KERNELS_ATTENTION_H_
