// A block of warps, each of which computes rows of O one after the other (scalar_row.cuh).
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/scalar.h"
#include "kernels/cuda/scalar_row.cuh"

namespace flashcore::cuda {
namespace {

// Tells the compiler how many registers it may take: with fewer it spills on compute capability 8.9.
constexpr int kMinBlocksPerSm = 5;

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
  const auto lane = static_cast<int>(threadIdx.x);
  LaneElements<kSlots> query;
  query.Load(Head<T>(problem.q, problem.q_strides, at.batch, at.head) + at.row * problem.q_strides.row,
             problem.head_dim, lane);
  const KeySpan keys = VisibleKeySpan(problem, at.row);
  const ScalarRow<kSlots> row = AttendKeys(kv, query, keys, lane);
  T* o = static_cast<T*>(problem.o) + at.batch * problem.o_strides.batch + at.head * problem.o_strides.head +
         at.row * problem.o_strides.row;
  row.weighted_v.Store(o, problem.head_dim, lane, row.Normaliser(keys));
  if (problem.lse != nullptr && lane == 0) problem.lse[flat_row] = row.max + logf(row.sum);
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
    const int index = FindProblem(batch.first_tile, static_cast<int>(batch.num_problems), tile);
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
