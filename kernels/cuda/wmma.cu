// One block of eight warps computes a tile of O: 32 query rows of one head. For each block of keys:
//
//   K, V --> shared memory
//   S = Q K^T          wmma       warp (g, c) computes rows 16g.. of keys 16c.. (of 64)         --> scores, FP32
//   P = exp(S - max)   ordinary   eight threads to a row; running maximum and sums in registers --> weights, 16 bits
//   O = O * r + P V    wmma       warp (g, c) keeps rows 16g.. of the c-th quarter of head_dim in fragments
//
// Where an element of a fragment lives is wmma's secret, so that a row of O cannot be rescaled by its number. But
// fragments of one type all keep an element in the same place: a matrix whose every row holds that row's factor, loaded
// as a fragment, is multiplied in element by element.
//
// A second launch keeps NaN where it belongs (containment.cuh): the first has no register to spare for it.
//
// What the next rung does better: `fused` knows the fragments' layout (mma.sync), so that S and P never leave the
// registers, and its copies run beside its arithmetic.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/containment.cuh"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/scalar_row.cuh"
#include "kernels/cuda/wmma.h"

namespace flashcore::cuda {
namespace {

namespace wmma = nvcuda::wmma;

// A fragment's rows, columns and depth.
constexpr int kFragment = 16;
constexpr int kRows = kWmmaRowsPerTile;
constexpr int kRowGroups = kRows / kFragment;
// Warps that share a row group: each has every kColumnGroups-th block of keys, and a share of the columns of O.
constexpr int kColumnGroups = 4;
constexpr int kThreads = kRowGroups * kColumnGroups * kWarpSize;
constexpr int kThreadsPerRow = kThreads / kRows;
// What a thread may take, so that two blocks fit on a multiprocessor.
constexpr int kMaxRegisters = 120;
// 16-bit elements in the 16 bytes that a thread copies at a time.
constexpr int kVector = 8;
// Of shared memory that a block may take.
constexpr size_t kMaxSharedTileBytes = 64 * 1024;

// Shared memory. Each row is 16 bytes longer than its content, so that the rows of a fragment start in different banks;
// wmma wants every fragment on 32 bytes.
template <typename T, int kHeadDim>
struct SharedTile {
  static constexpr int kKeys = kHeadDim <= 128 ? 64 : 32;
  static constexpr int kPitch = kHeadDim + kVector;
  static constexpr int kScorePitch = kKeys + kVector;
  static constexpr int kWeightPitch = kKeys + kVector;
  static constexpr int kOutputPitch = kHeadDim + 4;

  alignas(32) T q[kRows * kPitch];
  union {
    struct {
      alignas(32) T k[kKeys * kPitch];
      alignas(32) T v[kKeys * kPitch];
    };
    alignas(32) float o[kRows * kOutputPitch];  // Once all keys are done.
  };
  alignas(32) float scores[kRows * kScorePitch];
  alignas(32) T weights[kRows * kWeightPitch];
  alignas(32) float factors[kRows * kFragment];  // Row r holds r's factor, kFragment times.
};

template <typename T>
using MatrixA = wmma::fragment<wmma::matrix_a, kFragment, kFragment, kFragment, T, wmma::row_major>;
template <typename T, typename Layout>
using MatrixB = wmma::fragment<wmma::matrix_b, kFragment, kFragment, kFragment, T, Layout>;
using Accumulator = wmma::fragment<wmma::accumulator, kFragment, kFragment, kFragment, float>;

// A warp's share of O: a fragment for each 16 columns of it.
template <int kHeadDim>
struct OutputShare {
  static constexpr int kColumns = kHeadDim / kColumnGroups;
  static constexpr int kFragments = kColumns / kFragment;
  Accumulator fragments[kFragments];
};

__device__ int RowGroup() { return static_cast<int>(threadIdx.x) / kWarpSize / kColumnGroups; }
__device__ int ColumnGroup() { return static_cast<int>(threadIdx.x) / kWarpSize % kColumnGroups; }

// Copies `rows` rows into `shared` and fills up with zeros, to kCount rows of kHeadDim elements.
template <int kCount, int kHeadDim, typename T>
__device__ void LoadRows(const T* global, int64_t row_stride, int64_t rows, int head_dim, T* shared) {
  constexpr int kVectors = kHeadDim / kVector;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kCount * kVectors; i += kThreads) {
    const int row = i / kVectors;
    const int d = i % kVectors * kVector;
    uint4 vector = make_uint4(0, 0, 0, 0);
    if (row < rows && d < head_dim) vector = *reinterpret_cast<const uint4*>(global + row * row_stride + d);
    *reinterpret_cast<uint4*>(shared + row * (kHeadDim + kVector) + d) = vector;
  }
}

// scores = Q K^T, without the scale.
template <typename T, int kHeadDim>
__device__ void ComputeScores(SharedTile<T, kHeadDim>& tile) {
  using Tile = SharedTile<T, kHeadDim>;
  const int first_row = RowGroup() * kFragment;
  for (int key = ColumnGroup() * kFragment; key < Tile::kKeys; key += kColumnGroups * kFragment) {
    Accumulator scores;
    wmma::fill_fragment(scores, 0.0F);
#pragma unroll 4
    for (int d = 0; d < kHeadDim; d += kFragment) {
      MatrixA<T> q;
      // Stored by keys, K is K^T by columns.
      MatrixB<T, wmma::col_major> k;
      wmma::load_matrix_sync(q, tile.q + first_row * Tile::kPitch + d, Tile::kPitch);
      wmma::load_matrix_sync(k, tile.k + key * Tile::kPitch + d, Tile::kPitch);
      wmma::mma_sync(scores, q, k, scores);
    }
    wmma::store_matrix_sync(tile.scores + first_row * Tile::kScorePitch + key, scores, Tile::kScorePitch,
                            wmma::mem_row_major);
  }
}

// Multiplies each row of a fragment by its factor.
template <typename T, int kHeadDim>
__device__ void ScaleRows(const SharedTile<T, kHeadDim>& tile, OutputShare<kHeadDim>& o) {
  Accumulator factors;
  wmma::load_matrix_sync(factors, tile.factors + RowGroup() * kFragment * kFragment, kFragment, wmma::mem_row_major);
#pragma unroll
  for (int n = 0; n < OutputShare<kHeadDim>::kFragments; ++n) {
#pragma unroll
    for (int i = 0; i < Accumulator::num_elements; ++i) o.fragments[n].x[i] *= factors.x[i];
  }
}

// O = O * factors + weights * V.
template <typename T, int kHeadDim>
__device__ void Accumulate(const SharedTile<T, kHeadDim>& tile, OutputShare<kHeadDim>& o) {
  using Tile = SharedTile<T, kHeadDim>;
  ScaleRows(tile, o);
  const T* weights = tile.weights + RowGroup() * kFragment * Tile::kWeightPitch;
  const T* values = tile.v + ColumnGroup() * OutputShare<kHeadDim>::kColumns;
#pragma unroll 1
  for (int key = 0; key < Tile::kKeys; key += kFragment) {
    MatrixA<T> p;
    wmma::load_matrix_sync(p, weights + key, Tile::kWeightPitch);
#pragma unroll
    for (int n = 0; n < OutputShare<kHeadDim>::kFragments; ++n) {
      MatrixB<T, wmma::row_major> v;
      wmma::load_matrix_sync(v, values + key * Tile::kPitch + n * kFragment, Tile::kPitch);
      wmma::mma_sync(o.fragments[n], p, v, o.fragments[n]);
    }
  }
}

// The same in each of a row's threads, which are neighbours in a warp.
template <typename Combine>
__device__ float ReduceRow(float value, Combine combine) {
#pragma unroll
  for (int distance = 1; distance < kThreadsPerRow; distance *= 2) {
    value = combine(value, __shfl_xor_sync(0xFFFFFFFFU, value, distance));
  }
  return value;
}

// Online softmax of one row, held by each of the row's threads.
struct RowState {
  KeySpan keys;  // That the row sees; begin >= end: none.
  float max = -INFINITY;
  float sum = 0.0F;         // Over the keys so far, of exp(logit - max).
  float weight_sum = 0.0F;  // The same of the weights as they were rounded: what O is the weighted sum of.
};

__device__ int Row() { return static_cast<int>(threadIdx.x) / kThreadsPerRow; }
__device__ int PartOfRow() { return static_cast<int>(threadIdx.x) % kThreadsPerRow; }

template <typename T, int kHeadDim>
__device__ void SetFactor(SharedTile<T, kHeadDim>& tile, float factor) {
  for (int i = PartOfRow(); i < kFragment; i += kThreadsPerRow) tile.factors[Row() * kFragment + i] = factor;
}

__device__ float Logit(const ProblemDescriptor& problem, float dot) {
  const float scaled = dot * problem.sm_scale;
  const float cap = problem.logits_soft_cap;
  return cap > 0.0F ? cap * tanhf(scaled / cap) : scaled;
}

// Turns this thread's scores of a block of keys into weights, and says by what O has to be multiplied.
template <typename T, int kHeadDim>
__device__ void ComputeWeights(const ProblemDescriptor& problem, int64_t first_key, SharedTile<T, kHeadDim>& tile,
                               RowState& row) {
  using Tile = SharedTile<T, kHeadDim>;
  constexpr int kShare = Tile::kKeys / kThreadsPerRow;
  const int begin = static_cast<int>(min(max(row.keys.begin - first_key, int64_t{0}), int64_t{Tile::kKeys}));
  const int end = static_cast<int>(min(max(row.keys.end - first_key, int64_t{0}), int64_t{Tile::kKeys}));
  float logit[kShare];
  float max = row.max;
#pragma unroll
  for (int i = 0; i < kShare; ++i) {
    const int key = PartOfRow() + i * kThreadsPerRow;
    logit[i] = Logit(problem, tile.scores[Row() * Tile::kScorePitch + key]);
    if (key >= begin && key < end) max = fmaxf(max, logit[i]);
  }
  max = ReduceRow(max, [](float a, float b) { return fmaxf(a, b); });
  // As long as every logit was -inf, exponents are taken relative to 0: -inf - -inf would be NaN.
  const float origin = max == -INFINITY ? 0.0F : max;
  float sum = 0.0F;
  float weight_sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kShare; ++i) {
    const int key = PartOfRow() + i * kThreadsPerRow;
    const float exact = key >= begin && key < end ? expf(logit[i] - origin) : 0.0F;
    const T weight = FromFloat<T>(exact);
    tile.weights[Row() * Tile::kWeightPitch + key] = weight;
    sum += exact;
    weight_sum += ToFloat(weight);
  }
  const float correction = expf(row.max - origin);
  const auto add = [](float a, float b) { return a + b; };
  row.max = max;
  row.sum = row.sum * correction + ReduceRow(sum, add);
  row.weight_sum = row.weight_sum * correction + ReduceRow(weight_sum, add);
  SetFactor(tile, correction);
}

// Where a block's rows lie: `rows` of them from `first_row` on, of one head.
struct TilePosition {
  RowPosition at;  // Of the first row.
  int rows;
};

__device__ TilePosition LocateTile(const ProblemDescriptor& problem, int64_t tile) {
  const auto tiles_per_head = static_cast<int32_t>((int64_t{problem.q_len} + kRows - 1) / kRows);
  const auto flat_head = static_cast<int32_t>(tile / tiles_per_head);
  const auto first_row = static_cast<int32_t>(tile - int64_t{flat_head} * tiles_per_head) * kRows;
  return {LocateRow(problem, flat_head * problem.q_len + first_row), min(kRows, problem.q_len - first_row)};
}

template <typename T>
__device__ const T* Head(const void* tensor, const TensorStrides& strides, int64_t batch, int64_t head) {
  return static_cast<const T*>(tensor) + batch * strides.batch + head * strides.head;
}

// Writes O from the fragments, by way of shared memory; rows that see no key are 0 whatever the fragments hold.
template <typename T, int kHeadDim>
__device__ void StoreOutput(const ProblemDescriptor& problem, const TilePosition& position, const RowState& row,
                            SharedTile<T, kHeadDim>& tile, OutputShare<kHeadDim>& o) {
  using Tile = SharedTile<T, kHeadDim>;
  SetFactor(tile, 1.0F / row.weight_sum);
  // The factors are complete, and nobody reads K and V any more.
  __syncthreads();
  ScaleRows(tile, o);
  float* share = tile.o + RowGroup() * kFragment * Tile::kOutputPitch + ColumnGroup() * OutputShare<kHeadDim>::kColumns;
#pragma unroll
  for (int n = 0; n < OutputShare<kHeadDim>::kFragments; ++n) {
    wmma::store_matrix_sync(share + n * kFragment, o.fragments[n], Tile::kOutputPitch, wmma::mem_row_major);
  }
  // All of O is in shared memory.
  __syncthreads();
  if (Row() >= position.rows) return;
  T* out = static_cast<T*>(problem.o) + position.at.batch * problem.o_strides.batch +
           position.at.head * problem.o_strides.head + (position.at.row + Row()) * problem.o_strides.row;
  const bool sees_keys = row.keys.begin < row.keys.end;
  for (int d = PartOfRow(); d < problem.head_dim; d += kThreadsPerRow) {
    out[d] = FromFloat<T>(sees_keys ? tile.o[Row() * Tile::kOutputPitch + d] : 0.0F);
  }
}

template <typename T, int kHeadDim>
__device__ void AttendTile(const ProblemDescriptor& problem, const TilePosition& position,
                           SharedTile<T, kHeadDim>& tile) {
  using Tile = SharedTile<T, kHeadDim>;
  const RowPosition& at = position.at;
  const T* q = Head<T>(problem.q, problem.q_strides, at.batch, at.head) + at.row * problem.q_strides.row;
  const T* k = Head<T>(problem.k, problem.k_strides, at.batch, at.kv_head);
  const T* v = Head<T>(problem.v, problem.v_strides, at.batch, at.kv_head);
  RowState row;
  row.keys = Row() < position.rows ? VisibleKeySpan(problem, at.row + Row()) : KeySpan{0, 0};
  // Later rows begin and end no earlier.
  const int64_t begin = VisibleKeySpan(problem, at.row).begin;
  const int64_t end = VisibleKeySpan(problem, at.row + position.rows - 1).end;

  LoadRows<kRows, kHeadDim>(q, problem.q_strides.row, position.rows, problem.head_dim, tile.q);
  OutputShare<kHeadDim> o;
#pragma unroll
  for (int n = 0; n < OutputShare<kHeadDim>::kFragments; ++n) wmma::fill_fragment(o.fragments[n], 0.0F);
  for (int64_t key = begin; key < end; key += Tile::kKeys) {
    const int64_t keys = end - key;
    LoadRows<Tile::kKeys, kHeadDim>(k + key * problem.k_strides.row, problem.k_strides.row, keys, problem.head_dim,
                                    tile.k);
    LoadRows<Tile::kKeys, kHeadDim>(v + key * problem.v_strides.row, problem.v_strides.row, keys, problem.head_dim,
                                    tile.v);
    // Q, K and V are complete.
    __syncthreads();
    ComputeScores(tile);
    // The scores are complete.
    __syncthreads();
    ComputeWeights(problem, key, tile, row);
    // The weights and the factors are complete.
    __syncthreads();
    Accumulate(tile, o);
    // K, V, the weights and the factors may be overwritten.
    __syncthreads();
  }
  StoreOutput(problem, position, row, tile, o);
  if (problem.lse != nullptr && Row() < position.rows && PartOfRow() == 0) {
    const int64_t flat_row = (at.batch * problem.num_qo_heads + at.head) * problem.q_len + at.row + Row();
    problem.lse[flat_row] = row.max + logf(row.sum);
  }
}

template <typename T>
__device__ void AttendTile(const ProblemDescriptor& problem, const TilePosition& position, void* shared) {
  if (problem.head_dim <= 64) {
    AttendTile(problem, position, *static_cast<SharedTile<T, 64>*>(shared));
  } else if (problem.head_dim <= 128) {
    AttendTile(problem, position, *static_cast<SharedTile<T, 128>*>(shared));
  } else {
    AttendTile(problem, position, *static_cast<SharedTile<T, 256>*>(shared));
  }
}

// What a launch allots; the same for both elements.
constexpr size_t SharedBytes(int64_t head_dim) {
  if (head_dim <= 64) return sizeof(SharedTile<__half, 64>);
  return head_dim <= 128 ? sizeof(SharedTile<__half, 128>) : sizeof(SharedTile<__half, 256>);
}
static_assert(std::max(SharedBytes(128), SharedBytes(kMaxHeadDim)) <= kMaxSharedTileBytes);

template <size_t kCapacity>
__global__ void __maxnreg__(kMaxRegisters) WmmaKernel(const __grid_constant__ BatchDescriptor<kCapacity> batch) {
  extern __shared__ __align__(32) unsigned char shared[];
  const int64_t tiles = batch.first_tile[batch.num_problems];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int index = FindProblem(batch.first_tile, static_cast<int>(batch.num_problems), tile);
    const ProblemDescriptor& problem = batch.problems[index];
    const TilePosition position = LocateTile(problem, tile - batch.first_tile[index]);
    if (problem.element == Element::kHalf) {
      AttendTile<__half>(problem, position, shared);
    } else {
      AttendTile<__nv_bfloat16>(problem, position, shared);
    }
    // Everybody has read the tile's O.
    __syncthreads();
  }
}

// After WmmaKernel, in blocks of the same tiles: mends those that a mask crosses and that have NaN.
template <typename T>
__device__ void ContainTile(const ProblemDescriptor& problem, const TilePosition& position, void* shared) {
  const RowPosition& at = position.at;
  const KeySpan first = VisibleKeySpan(problem, at.row);
  const KeySpan last = VisibleKeySpan(problem, at.row + position.rows - 1);
  if (first.begin == last.begin && first.end == last.end) return;
  const T* q = Head<T>(problem.q, problem.q_strides, at.batch, at.head);
  T* o = static_cast<T*>(problem.o) + at.batch * problem.o_strides.batch + at.head * problem.o_strides.head;
  bool broken = false;
  for (int64_t row = at.row + Row(); row < at.row + position.rows; row += kRows) {
    for (int d = PartOfRow(); d < problem.head_dim; d += kThreadsPerRow) {
      broken = broken || isnan(ToFloat(o[row * problem.o_strides.row + d]));
    }
  }
  if (__syncthreads_or(static_cast<int>(broken)) == 0) return;
  const KeysValues<T> kv = {Head<T>(problem.k, problem.k_strides, at.batch, at.kv_head),
                            Head<T>(problem.v, problem.v_strides, at.batch, at.kv_head),
                            problem.k_strides.row,
                            problem.v_strides.row,
                            problem.head_dim,
                            problem.sm_scale,
                            problem.logits_soft_cap};
  ContainNan<kMaxHeadDim / kWarpSize>(kv, KeySpan{last.begin, first.end}, position.rows, shared, [&](int i) {
    const int64_t row = at.row + i;
    return TileRow<T>{q + row * problem.q_strides.row, o + row * problem.o_strides.row, VisibleKeySpan(problem, row)};
  });
}

template <size_t kCapacity>
__global__ void __launch_bounds__(kThreads)
    WmmaContainKernel(const __grid_constant__ BatchDescriptor<kCapacity> batch) {
  __shared__ bool shared[kMaxHeadDim];
  const int64_t tiles = batch.first_tile[batch.num_problems];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int index = FindProblem(batch.first_tile, static_cast<int>(batch.num_problems), tile);
    const ProblemDescriptor& problem = batch.problems[index];
    const TilePosition position = LocateTile(problem, tile - batch.first_tile[index]);
    if (problem.element == Element::kHalf) {
      ContainTile<__half>(problem, position, shared);
    } else {
      ContainTile<__nv_bfloat16>(problem, position, shared);
    }
    // Everybody is done with shared memory.
    __syncthreads();
  }
}

template <size_t kCapacity>
cudaError_t Load() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, WmmaContainKernel<kCapacity>);
  if (error != cudaSuccess) return error;
  return cudaFuncSetAttribute(WmmaKernel<kCapacity>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(SharedBytes(kMaxHeadDim)));
}

template <size_t kCapacity>
cudaError_t Launch(const BatchDescriptor<kCapacity>& batch, cudaStream_t stream) {
  const int64_t tiles = batch.first_tile[batch.num_problems];
  cudaLaunchConfig_t config = {};
  // The kernel loops over what a grid cannot hold.
  config.gridDim = dim3(static_cast<unsigned>(std::min<int64_t>(tiles, std::numeric_limits<int32_t>::max())));
  config.blockDim = dim3(kThreads);
  for (int64_t i = 0; i < batch.num_problems; ++i) {
    config.dynamicSmemBytes = std::max(config.dynamicSmemBytes, SharedBytes(batch.problems[i].head_dim));
  }
  config.stream = stream;
  const cudaError_t error = cudaLaunchKernelEx(&config, WmmaKernel<kCapacity>, batch);
  if (error != cudaSuccess) return error;
  config.dynamicSmemBytes = 0;
  return cudaLaunchKernelEx(&config, WmmaContainKernel<kCapacity>, batch);
}

}  // namespace

cudaError_t LoadWmma() {
  const cudaError_t error = Load<kSmallBatch>();
  return error != cudaSuccess ? error : Load<kFullBatch>();
}

cudaError_t LaunchWmma(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream) {
  if (batch.num_problems > static_cast<int64_t>(kSmallBatch)) return Launch(batch, stream);
  BatchDescriptor<kSmallBatch> small;
  CopyBatch(batch, small);
  return Launch(small, stream);
}

}  // namespace flashcore::cuda
