// One warp computes one row of O on the ordinary cores, reading the keys that the row sees and no other:
//
//   lane l holds q[l], q[l + 32], ... and the same elements of the sum over V
//   for each key:  dot product over the lanes -> logit -> running maximum and sum (online softmax) -> += weight * v
//
// K and V rows are read by neighbouring lanes side by side. Steps of kScalarKeysPerStep keys give the warp independent
// dot products to overlap and share one rescaling; the keys that are left take steps of one.
#ifndef FLASHCORE_KERNELS_CUDA_SCALAR_ROW_CUH_
#define FLASHCORE_KERNELS_CUDA_SCALAR_ROW_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/ptx.cuh"

namespace flashcore::cuda {

inline constexpr int kScalarKeysPerStep = 4;

__device__ inline float ToFloat(__half value) { return __half2float(value); }
__device__ inline float ToFloat(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float ToFloat(float value) { return value; }

template <typename T>
__device__ T FromFloat(float value);
template <>
__device__ inline __half FromFloat(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 FromFloat(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ inline float FromFloat(float value) {
  return value;
}

// Every lane gets the same bits: the partners of each exchange add the same two numbers.
__device__ inline float WarpSum(float value) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

// A lane's elements of a row: lane + 32 * slot for each slot, 0 from head_dim on.
template <int kSlots>
struct LaneElements {
  float element[kSlots];

  template <typename T>
  __device__ void Load(const T* row, int head_dim, int lane) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int d = lane + slot * kWarpSize;
      element[slot] = d < head_dim ? ToFloat(row[d]) : 0.0F;
    }
  }

  // `row` = the elements times `factor`.
  template <typename T>
  __device__ void Store(T* row, int head_dim, int lane, float factor) const {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int d = lane + slot * kWarpSize;
      if (d < head_dim) row[d] = FromFloat<T>(element[slot] * factor);
    }
  }

  __device__ float Dot(const LaneElements& other) const {
    float sum = 0.0F;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) sum += element[slot] * other.element[slot];
    return sum;
  }

  __device__ bool HasNan() const {
    bool nan = false;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) nan = nan || isnan(element[slot]);
    return nan;
  }
};

// Online softmax of one row: sum over the keys so far of exp(logit - max), and of the same times V.
template <int kSlots>
struct ScalarRow {
  float max = -INFINITY;
  float sum = 0.0F;
  LaneElements<kSlots> weighted_v = {};

  // What weighted_v has to be multiplied by; `keys`: that the row sees.
  __device__ float Normaliser(const KeySpan& keys) const { return keys.begin < keys.end ? 1.0F / sum : 0.0F; }
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
  float soft_cap;  // 0: none.

  __device__ float Logit(float dot) const {
    const float scaled = dot * sm_scale;
    return soft_cap > 0.0F ? soft_cap * tanhf(scaled / soft_cap) : scaled;
  }
};

// Takes keys [key, key + kKeys), all visible, into the row.
template <int kKeys, typename T, int kSlots>
__device__ void Step(const KeysValues<T>& kv, const LaneElements<kSlots>& query, int64_t key, int lane,
                     ScalarRow<kSlots>& row) {
  float logit[kKeys];
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    LaneElements<kSlots> k;
    k.Load(kv.k + (key + i) * kv.k_row_stride, kv.head_dim, lane);
    logit[i] = query.Dot(k);
  }
  float max = row.max;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    logit[i] = kv.Logit(WarpSum(logit[i]));
    max = fmaxf(max, logit[i]);
  }
  // As long as every logit was -inf, exponents are taken relative to 0: -inf - -inf would be NaN.
  const float origin = max == -INFINITY ? 0.0F : max;
  const float correction = expf(row.max - origin);
  row.max = max;
  row.sum *= correction;
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) row.weighted_v.element[slot] *= correction;
#pragma unroll
  for (int i = 0; i < kKeys; ++i) {
    const float weight = expf(logit[i] - origin);
    row.sum += weight;
    LaneElements<kSlots> v;
    v.Load(kv.v + (key + i) * kv.v_row_stride, kv.head_dim, lane);
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) row.weighted_v.element[slot] += weight * v.element[slot];
  }
}

// A whole row; by all lanes of a warp together.
template <typename T, int kSlots>
__device__ ScalarRow<kSlots> AttendKeys(const KeysValues<T>& kv, const LaneElements<kSlots>& query, const KeySpan& keys,
                                        int lane) {
  ScalarRow<kSlots> row;
  int64_t key = keys.begin;
  for (; key + kScalarKeysPerStep <= keys.end; key += kScalarKeysPerStep) {
    Step<kScalarKeysPerStep>(kv, query, key, lane, row);
  }
  for (; key < keys.end; ++key) Step<1>(kv, query, key, lane, row);
  return row;
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_SCALAR_ROW_CUH_
