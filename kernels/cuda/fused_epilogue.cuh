// From a CTA's sums to O and LSE. Where several warps, or several CTAs, took shares of the same rows' keys:
//
//   warps of a key group --O, RowShare--> shared --merged--> O                       splits == 1
//                                                  `--> partials in global memory,  splits > 1
//                                                       merged by the tile's last CTA to arrive --> O
//
// Shares are merged in the order of their keys, whoever comes last: results repeat bit for bit.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_

#include <cstdint>

#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/online_softmax.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/shared_tile.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// A row's sums over some keys, relative to 2^origin; OnlineSoftmax says why there are two.
struct alignas(16) RowShare {
  float origin;
  float sum;
  float exact_sum;
};
static_assert(sizeof(RowShare) == TileConfig::kRowShareBytes);

// 1 / sum, or 0 for a row that saw no key.
__device__ inline float Normaliser(float sum) { return sum == 0.0F ? 0.0F : __fdividef(1.0F, sum); }

// A chunk of O being put together from shares, in 8 columns.
struct MergedChunk {
  static constexpr int kColumns = kVectorBytes / 2;
  float origin = kNoOrigin;
  float sum = 0.0F;
  float exact_sum = 0.0F;
  float out[kColumns] = {};

  // The part of a share that counts once all shares' origins are known.
  __device__ void Add(const RowShare& share, const float4& low, const float4& high) {
    const float factor = Exp2(share.origin - OriginOrZero(origin));
    sum += factor * share.sum;
    exact_sum += factor * share.exact_sum;
    const float columns[kColumns] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < kColumns; ++i) out[i] = fmaf(factor, columns[i], out[i]);
  }
};

template <typename T>
__device__ uint4 PackChunk(const float (&out)[MergedChunk::kColumns], float factor) {
  return {Pack<T>(out[0] * factor, out[1] * factor), Pack<T>(out[2] * factor, out[3] * factor),
          Pack<T>(out[4] * factor, out[5] * factor), Pack<T>(out[6] * factor, out[7] * factor)};
}

template <typename T>
__device__ T* OutputRow(const FusedProblem& problem, const FusedWork& work, int row) {
  const PackedRow at = LocatePackedRow(problem, row);
  return HeadOf(static_cast<T*>(problem.o), problem.o_strides, work.batch,
                work.kv_head * problem.group + at.head_in_group) +
         at.query * problem.o_strides.row;
}

// Natural logarithm of the sum of exp(logit); -inf for a row that saw no key.
__device__ inline void WriteLse(const FusedProblem& problem, const FusedWork& work, int row, const RowShare& share) {
  constexpr float kLn2 = 0.693147180559945309F;
  if (problem.lse == nullptr) return;
  const PackedRow at = LocatePackedRow(problem, row);
  const int64_t head =
      (static_cast<int64_t>(work.batch) * problem.num_kv_heads + work.kv_head) * problem.group + at.head_in_group;
  problem.lse[head * problem.q_len + at.query] =
      share.sum == 0.0F ? -INFINITY : (share.origin + __log2f(share.exact_sum)) * kLn2;
}

// One warp has all keys of its rows: normalise, turn fragments into rows through this warp's part of `shared`, store.
template <typename T, TileConfig kConfig, int kRowBlocks, int kColumnTiles>
__device__ void WriteRows(const FusedProblem& problem, const FusedWork& work, const OnlineSoftmax<kRowBlocks>& softmax,
                          const float (&out)[kRowBlocks][kColumnTiles][4], unsigned char* shared) {
  using Row = SharedRow<kConfig.head_dim>;
  const int lane = ThreadIndex() % kWarpSize;
  const int warp_row = ThreadIndex() / kWarpSize * kConfig.rows_per_warp;
  unsigned char* rows = shared + warp_row * Row::kBytes;
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = block * 16 + side * 8 + lane / 4;
      const float factor = Normaliser(softmax.Sum(block, side));
#pragma unroll
      for (int column = 0; column < kColumnTiles; ++column) {
        *reinterpret_cast<uint32_t*>(rows + Row::Offset(row, column) + lane % 4 * 4) =
            Pack<T>(out[block][column][2 * side] * factor, out[block][column][2 * side + 1] * factor);
      }
      const int unit_row = work.first_row + warp_row + row;
      const RowShare share = {softmax.origin[block][side], softmax.Sum(block, side), softmax.ExactSum(block, side)};
      if (lane % 4 == 0 && unit_row < problem.rows_per_unit) WriteLse(problem, work, unit_row, share);
    }
  }
  // This warp's rows are written.
  __syncwarp();
  constexpr int kRowsAtOnce = kWarpSize / Row::kSegment;
#pragma unroll 1
  for (int row = lane / Row::kSegment; row < kConfig.rows_per_warp; row += kRowsAtOnce) {
    const int unit_row = work.first_row + warp_row + row;
    if (unit_row >= problem.rows_per_unit) break;
    T* to = OutputRow<T>(problem, work, unit_row);
#pragma unroll
    for (int segment = 0; segment < Row::kSegments; ++segment) {
      const int chunk = segment * Row::kSegment + lane % Row::kSegment;
      if (chunk * Row::kElementsPerChunk < problem.head_dim) {
        *reinterpret_cast<uint4*>(to + chunk * Row::kElementsPerChunk) =
            *reinterpret_cast<const uint4*>(rows + Row::Offset(row, chunk));
      }
    }
  }
}

// Where shares lie: first all rows' O, `pitch` floats apart, then all rows' RowShare.
struct ShareTable {
  float* out;
  RowShare* rows;
  int pitch;

  __device__ void OriginInto(MergedChunk& chunk, int row) const {
    chunk.origin = fmaxf(chunk.origin, rows[row].origin);
  }
  __device__ void SumInto(MergedChunk& chunk, int row, int column) const {
    const auto* columns = reinterpret_cast<const float4*>(out + row * pitch + column);
    chunk.Add(rows[row], columns[0], columns[1]);
  }
};

template <TileConfig kConfig>
__device__ ShareTable GroupShares(unsigned char* shared, int key_group) {
  constexpr int kRows = kConfig.Rows();
  auto* out = reinterpret_cast<float*>(shared);
  auto* rows = reinterpret_cast<RowShare*>(out + kConfig.key_groups * kRows * kConfig.PartialPitch());
  return {out + key_group * kRows * kConfig.PartialPitch(), rows + key_group * kRows, kConfig.PartialPitch()};
}

template <TileConfig kConfig>
__device__ ShareTable SplitShares(const FusedProblem& problem, const FusedWork& work, int split) {
  constexpr int64_t kFloats = kConfig.SplitShareFloats();
  float* out = problem.partials + (static_cast<int64_t>(work.unit_tile) * problem.splits + split) * kFloats;
  return {out, reinterpret_cast<RowShare*>(out + kConfig.Rows() * kConfig.head_dim), kConfig.head_dim};
}

// Merges `count` shares of every row of the tile and hands each chunk to `take(row, column, chunk)`.
template <TileConfig kConfig, typename GetShare, typename Take>
__device__ void MergeShares(const FusedProblem& problem, const FusedWork& work, int count, GetShare&& share,
                            Take&& take) {
  constexpr int kChunks = SharedRow<kConfig.head_dim>::kChunks;
  const int valid_rows = min(kConfig.Rows(), problem.rows_per_unit - work.first_row);
#pragma unroll 1
  for (int item = ThreadIndex(); item < valid_rows * kChunks; item += kConfig.Threads()) {
    const int row = item / kChunks;
    const int column = item % kChunks * MergedChunk::kColumns;
    MergedChunk chunk;
    for (int i = 0; i < count; ++i) share(i).OriginInto(chunk, row);
    for (int i = 0; i < count; ++i) share(i).SumInto(chunk, row, column);
    take(row, column, chunk);
  }
}

template <typename T>
__device__ void StoreChunk(const FusedProblem& problem, const FusedWork& work, int row, int column,
                           const MergedChunk& chunk) {
  const int unit_row = work.first_row + row;
  if (column == 0) WriteLse(problem, work, unit_row, {chunk.origin, chunk.sum, chunk.exact_sum});
  if (column < problem.head_dim) {
    *reinterpret_cast<uint4*>(OutputRow<T>(problem, work, unit_row) + column) =
        PackChunk<T>(chunk.out, Normaliser(chunk.sum));
  }
}

template <TileConfig kConfig, int kRowBlocks, int kColumnTiles>
__device__ void ShareRows(const OnlineSoftmax<kRowBlocks>& softmax, const float (&out)[kRowBlocks][kColumnTiles][4],
                          unsigned char* shared) {
  const int lane = ThreadIndex() % kWarpSize;
  const int warp = ThreadIndex() / kWarpSize;
  const int warp_row = warp % kConfig.row_groups * kConfig.rows_per_warp;
  const ShareTable share = GroupShares<kConfig>(shared, warp / kConfig.row_groups);
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = warp_row + block * 16 + side * 8 + lane / 4;
#pragma unroll
      for (int column = 0; column < kColumnTiles; ++column) {
        *reinterpret_cast<float2*>(share.out + row * share.pitch + column * 8 + lane % 4 * 2) = {
            out[block][column][2 * side], out[block][column][2 * side + 1]};
      }
      const RowShare sums = {softmax.origin[block][side], softmax.Sum(block, side), softmax.ExactSum(block, side)};
      if (lane % 4 == 0) share.rows[row] = sums;
    }
  }
}

// Hands this CTA's share of a split tile in. True in the last CTA of the tile to arrive: every share is visible to it.
__device__ inline bool ArriveLast(const FusedProblem& problem, const FusedWork& work) {
  __shared__ bool last;
  __threadfence();
  // This CTA's share is written and visible to the device.
  __syncthreads();
  if (threadIdx.x == 0) {
    uint32_t& arrivals = problem.arrivals[work.unit_tile];
    last = atomicAdd(&arrivals, 1U) + 1U == static_cast<uint32_t>(problem.splits);
    // The next launch counts from 0 again.
    if (last) arrivals = 0;
    __threadfence();
  }
  // `last` is written.
  __syncthreads();
  return last;
}

template <typename T, TileConfig kConfig, int kRowBlocks, int kColumnTiles>
__device__ void WriteTile(const FusedProblem& problem, const FusedWork& work, const OnlineSoftmax<kRowBlocks>& softmax,
                          const float (&out)[kRowBlocks][kColumnTiles][4], unsigned char* shared) {
  // Every warp is done with K and V: their memory is free.
  __syncthreads();
  if constexpr (kConfig.key_groups == 1) {
    WriteRows<T, kConfig>(problem, work, softmax, out, shared);
  } else {
    ShareRows<kConfig>(softmax, out, shared);
    // All key groups' shares are written.
    __syncthreads();
    const auto group_share = [&](int group) { return GroupShares<kConfig>(shared, group); };
    if (problem.splits == 1) {
      MergeShares<kConfig>(
          problem, work, kConfig.key_groups, group_share,
          [&](int row, int column, const MergedChunk& chunk) { StoreChunk<T>(problem, work, row, column, chunk); });
      return;
    }
    const ShareTable mine = SplitShares<kConfig>(problem, work, work.split);
    MergeShares<kConfig>(problem, work, kConfig.key_groups, group_share,
                         [&](int row, int column, const MergedChunk& chunk) {
                           auto* to = reinterpret_cast<float4*>(mine.out + row * mine.pitch + column);
                           to[0] = {chunk.out[0], chunk.out[1], chunk.out[2], chunk.out[3]};
                           to[1] = {chunk.out[4], chunk.out[5], chunk.out[6], chunk.out[7]};
                           if (column == 0) mine.rows[row] = {chunk.origin, chunk.sum, chunk.exact_sum};
                         });
    if (!ArriveLast(problem, work)) return;
    MergeShares<kConfig>(
        problem, work, problem.splits, [&](int split) { return SplitShares<kConfig>(problem, work, split); },
        [&](int row, int column, const MergedChunk& chunk) { StoreChunk<T>(problem, work, row, column, chunk); });
  }
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_
