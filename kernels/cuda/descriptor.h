// What the host tells a CUDA kernel about a batch. Plain data, shared by host and device code, passed by value as a
// kernel parameter: no copy to wait for, no buffer to reuse, and the launch can be captured in a CUDA graph.
//
//   tiles       0 1 2 3 4 5 6 7 8      one tile: Tiling::rows query rows of one problem
//   problem     0 0 0 1 3 3 3 3 3      problem 2 has no rows, hence no tiles
//   first_tile  0,3,4,4,9              tile t belongs to the last problem p with first_tile[p] <= t
#ifndef FLASHCORE_KERNELS_CUDA_DESCRIPTOR_H_
#define FLASHCORE_KERNELS_CUDA_DESCRIPTOR_H_

#include <cstddef>
#include <cstdint>

namespace flashcore::cuda {

enum class Element : int32_t { kHalf, kBfloat16, kFloat };

// In elements, as flashcore::Strides.
struct TensorStrides {
  int64_t batch;
  int64_t head;
  int64_t row;
};

// AttentionProblem, ready for a kernel. Query row r of [0, rows) is the flat index into [B, Hq, Sq].
struct ProblemDescriptor {
  const void* q;
  const void* k;
  const void* v;
  void* o;
  float* lse;  // nullptr: not wanted.
  TensorStrides q_strides;
  TensorStrides k_strides;
  TensorStrides v_strides;
  TensorStrides o_strides;
  int64_t kv_len;
  // Query i sees the keys of [i' - keys_before, i' + keys_after], i' = i + kv_len - q_len, as far as they exist.
  // Causal masks and windows are both folded in; kUnboundedKeys where there is no bound.
  int64_t keys_before;
  int64_t keys_after;
  int32_t rows;  // B * Hq * Sq.
  int32_t num_qo_heads;
  int32_t heads_per_kv_head;
  int32_t q_len;
  int32_t head_dim;
  Element element;
  float sm_scale;
  float logits_soft_cap;  // 0: off.
};

// Farther than any key, and yet i' + kUnboundedKeys cannot overflow: a sequence has at most 2^62 rows.
inline constexpr int64_t kUnboundedKeys = int64_t{1} << 61;

// Query rows of one problem, B * Hq * Sq: a thread finds its row by dividing, and only 32-bit division is cheap.
inline constexpr int64_t kMaxRows = INT32_MAX;

// Problems in one launch. Two capacities, because a launch costs more the larger its parameters are.
inline constexpr size_t kSmallBatch = 16;
inline constexpr size_t kFullBatch = 128;

template <size_t kCapacity>
struct BatchDescriptor {
  int64_t first_tile[kCapacity + 1];  // Ascending; first_tile[num_problems] is the number of tiles.
  int64_t num_problems;
  ProblemDescriptor problems[kCapacity];
};

// CUDA 12.1 and later, from compute capability 7.0 on.
inline constexpr size_t kMaxKernelParameterBytes = 32764;
static_assert(sizeof(BatchDescriptor<kFullBatch>) <= kMaxKernelParameterBytes);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_DESCRIPTOR_H_
