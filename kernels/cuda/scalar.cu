// One warp computes one row of O:
//
//   lane l holds q[l], q[l + 32], ... and the same elements of the sum over V
//   for each key:  dot product over the lanes -> logit -> running maximum and sum (online softmax) -> += weight * v
//
// K and V rows are read by neighbouring lanes side by side. Steps of kKeysPerStep keys give the warp independent dot
// products to overlap and share one rescaling; the keys that are left take steps of one.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/scalar.h"

namespace flashcore::cuda {
namespace {

constexpr int kWarpSize = 32;
constexpr int kKeysPerStep = 4;
// Tells the compiler how many registers it may take: with fewer it spills on compute capability 8.9.
constexpr int kMinBlocksPerSm = 5;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;

__device__ float ToFloat(__half value) { return __half2float(value); }
__device__ float ToFloat(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ float ToFloat(float value) { return value; }

template <typename T>
__device__ T FromFloat(float value);
template <>
__device__ __half FromFloat(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __nv_bfloat16 FromFloat(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ float FromFloat(float value) {
  return value;
}

// Every lane gets the same bits: the partners of each exchange add the same two numbers.
__device__ float WarpSum(float value) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

// A lane's share of a row: element lane + 32 * slot for each slot, 0 from head_dim on.
template <int kSlots>
struct RowShare {
  float element[kSlots];

  template <typename T>
  __device__ void Load(const T* row, int head_dim) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int d = static_cast<int>(threadIdx.x) + slot * kWarpSize;
      element[slot] = d < head_dim ? ToFloat(row[d]) : 0.0F;
    }
  }

  // `row` = the elements times `factor`.
  template <typename T>
  __device__ void Store(T* row, int head_dim, float factor) const {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int d = static_cast<int>(threadIdx.x) + slot * kWarpSize;
      if (d < head_dim) row[d] = FromFloat<T>(element[slot] * factor);
    }
  }

  __device__ float Dot(const RowShare& other) const {
    float sum = 0.0F;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) sum += element[slot] * other.element[slot];
    return sum;
  }
};

// Online softmax of one row: sum over the keys so far of exp(logit - max), and of the same times V.
template <int kSlots>
struct RowState {
  float max = -INFINITY;
  float sum = 0.0F;
  RowShare<kSlots> weighted_v = {};
};

// One head's keys and values, and what is read of them.
template <typename T>
struct KeysValues {
  const T* k;
  const T* v;
  int64_t k_row_stride;
  int64_t v_row_stride;
  int head_dim;
  float sm_scale;
  float soft_cap;

  __device__ float Logit(float dot) const {
    const float scaled = dot * sm_scale;
    return soft_cap > 0.0F ? soft_cap * tanhf(scaled / soft_cap) : scaled;
  }
};

// Takes keys [key, key + kKeys), all visible, into the state.
template <int kKeys, typename T, int kSlots>
__device__ void Step(const KeysValues<T>& kv, const RowShare<kSlots>& query, int64_t key, RowState<kSlots>& state) {
  float logit[kKeys];
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    RowShare<kSlots> k;
    k.Load(kv.k + (key + i) * kv.k_row_stride, kv.head_dim);
    logit[i] = query.Dot(k);
  }
  float max = state.max;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    logit[i] = kv.Logit(WarpSum(logit[i]));
    max = fmaxf(max, logit[i]);
  }
  // As long as every logit was -inf, exponents are taken relative to 0: -inf - -inf would be NaN.
  const float origin = max == -INFINITY ? 0.0F : max;
  const float correction = expf(state.max - origin);
  state.max = max;
  state.sum *= correction;
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) state.weighted_v.element[slot] *= correction;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    const float weight = expf(logit[i] - origin);
    state.sum += weight;
    RowShare<kSlots> v;
    v.Load(kv.v + (key + i) * kv.v_row_stride, kv.head_dim);
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) state.weighted_v.element[slot] += weight * v.element[slot];
  }
}

template <typename T>
__device__ const T* Head(const void* tensor, const TensorStrides& strides, int64_t batch, int64_t head) {
  return static_cast<const T*>(tensor) + batch * strides.batch + head * strides.head;
}

template <typename T, int kSlots>
__device__ void AttendRow(const ProblemDescriptor& problem, const RowPosition& at, int32_t flat_row) {
  const KeysValues<T> kv = {Head<T>(problem.k, problem.k_strides, at.batch, at.kv_head),
                            Head<T>(problem.v, problem.v_strides, at.batch, at.kv_head),
                            problem.k_strides.row,
                            problem.v_strides.row,
                            problem.head_dim,
                            problem.sm_scale,
                            problem.logits_soft_cap};
  RowShare<kSlots> query;
  query.Load(Head<T>(problem.q, problem.q_strides, at.batch, at.head) + at.row * problem.q_strides.row,
             problem.head_dim);

  RowState<kSlots> state;
  const KeySpan keys = VisibleKeySpan(problem, at.row);
  int64_t key = keys.begin;
  for (; key + kKeysPerStep <= keys.end; key += kKeysPerStep) Step<kKeysPerStep>(kv, query, key, state);
  for (; key < keys.end; ++key) Step<1>(kv, query, key, state);

  const bool sees_keys = keys.begin < keys.end;
  T* o = static_cast<T*>(problem.o) + at.batch * problem.o_strides.batch + at.head * problem.o_strides.head +
         at.row * problem.o_strides.row;
  state.weighted_v.Store(o, problem.head_dim, sees_keys ? 1.0F / state.sum : 0.0F);
  if (problem.lse != nullptr && threadIdx.x == 0) problem.lse[flat_row] = state.max + logf(state.sum);
}

template <typename T>
__device__ void AttendRow(const ProblemDescriptor& problem, const RowPosition& at, int32_t flat_row) {
  if (problem.head_dim <= 2 * kWarpSize) {
    AttendRow<T, 2>(problem, at, flat_row);
  } else if (problem.head_dim <= 4 * kWarpSize) {
    AttendRow<T, 4>(problem, at, flat_row);
  } else {
    AttendRow<T, 8>(problem, at, flat_row);
  }
}

// Block: (32, kScalarRowsPerTile) threads, a warp for each row of the tile.
template <size_t kCapacity>
__global__ void __launch_bounds__(kWarpSize* kScalarRowsPerTile, kMinBlocksPerSm)
    ScalarKernel(const __grid_constant__ BatchDescriptor<kCapacity> batch) {
  const int64_t tiles = batch.first_tile[batch.num_problems];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t index = FindProblem(batch, tile);
    const ProblemDescriptor& problem = batch.problems[index];
    const int64_t flat_row = (tile - batch.first_tile[index]) * kScalarRowsPerTile + threadIdx.y;
    if (flat_row >= problem.rows) continue;
    const auto row = static_cast<int32_t>(flat_row);
    const RowPosition at = LocateRow(problem, row);
    switch (problem.element) {
      case Element::kHalf:
        AttendRow<__half>(problem, at, row);
        break;
      case Element::kBfloat16:
        AttendRow<__nv_bfloat16>(problem, at, row);
        break;
      case Element::kFloat:
        AttendRow<float>(problem, at, row);
        break;
    }
  }
}

template <size_t kCapacity>
cudaError_t Load() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, ScalarKernel<kCapacity>);
}

template <size_t kCapacity>
cudaError_t Launch(const BatchDescriptor<kCapacity>& batch, int64_t tiles, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  // The kernel loops over what a grid cannot hold.
  config.gridDim = dim3(static_cast<unsigned>(std::min<int64_t>(tiles, std::numeric_limits<int32_t>::max())));
  config.blockDim = dim3(kWarpSize, static_cast<unsigned>(kScalarRowsPerTile));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, ScalarKernel<kCapacity>, batch);
}

}  // namespace

cudaError_t LoadScalar() {
  const cudaError_t error = Load<kSmallBatch>();
  return error != cudaSuccess ? error : Load<kFullBatch>();
}

cudaError_t LaunchScalar(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream) {
  const int64_t tiles = batch.first_tile[batch.num_problems];
  if (batch.num_problems > static_cast<int64_t>(kSmallBatch)) return Launch(batch, tiles, stream);
  BatchDescriptor<kSmallBatch> small;
  CopyBatch(batch, small);
  return Launch(small, tiles, stream);
}

}  // namespace flashcore::cuda
