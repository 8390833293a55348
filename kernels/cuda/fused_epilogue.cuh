// From a warp's sums to O and LSE. Where warps, or CTAs, took shares of the same rows' keys, the shares are merged:
//
//   key groups of a CTA   through shared memory; each warp of a row group then has some of the columns of O
//   splits of a tile      through device memory; the tile's last CTA to arrive merges
//
// Both hand on images of registers: a lane writes its fragments, and the same lane of the warp that merges them reads
// them, so that no index is computed and no two lanes meet on a bank.
//
// Shares are merged in the order of their keys, whoever comes last: results repeat bit for bit.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/containment.cuh"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/online_softmax.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// 1 / sum, or 0 for a row that saw no key.
__device__ inline float Normaliser(float sum) { return sum == 0.0F ? 0.0F : __fdividef(1.0F, sum); }

// A lane's rows: sums over some keys, relative to 2^origin. OnlineSoftmax says why there are two, and that the exact
// ones are of the lane's own columns.
template <int kRowBlocks>
struct RowSums {
  static constexpr int kRows = 2 * kRowBlocks;

  float origin[kRows];
  float sum[kRows];
  float exact[kRows];

  __device__ static RowSums Of(const OnlineSoftmax<kRowBlocks>& softmax) {
    RowSums sums;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      sums.origin[row] = softmax.origin[row / 2][row % 2];
      sums.sum[row] = softmax.Sum(row / 2, row % 2);
      sums.exact[row] = softmax.exact_sums[row / 2][row % 2];
    }
    return sums;
  }
};

// What one lane hands on: some column tiles of its fragments, and its rows' sums.
template <int kRowBlocks, int kColumnTiles>
struct Image {
  using Sums = RowSums<kRowBlocks>;

  float4* fragments;  // This lane's; the next is kWarpSize further.
  float2* sums;       // So are these, an origin and a sum each, but the lanes of a row share them.
  float* exact;

  // `memory`: the image of the lane's warp.
  __device__ Image(float* memory, int lane)
      : fragments(reinterpret_cast<float4*>(memory) + lane),
        sums(reinterpret_cast<float2*>(memory + kFragmentFloats) + lane / 4),
        exact(memory + kFragmentFloats + Sums::kRows * kRowsAbreast * 2 + lane) {}

  // `wants_exact`: the exact sums too.
  __device__ void Write(int lane, bool wants_exact, const float (&out)[kRowBlocks][kColumnTiles][4],
                        const Sums& rows) const {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int tile = 0; tile < kColumnTiles; ++tile) {
        const float(&fragment)[4] = out[block][tile];
        fragments[(block * kColumnTiles + tile) * kWarpSize] = {fragment[0], fragment[1], fragment[2], fragment[3]};
      }
    }
#pragma unroll
    for (int row = 0; row < Sums::kRows; ++row) {
      if (lane % 4 == 0) sums[row * kRowsAbreast] = {rows.origin[row], rows.sum[row]};
      if (wants_exact) exact[row * kWarpSize] = rows.exact[row];
    }
  }

  __device__ float2 OriginAndSum(int row) const { return sums[row * kRowsAbreast]; }

 private:
  static constexpr int kFragmentFloats = kRowBlocks * kColumnTiles * 4 * kWarpSize;
  static constexpr int kRowsAbreast = kWarpSize / 4;
};

// Merges `count` images, image(i) the i-th, into `out` and the rows' sums: `kOwn` column tiles from the image's
// `first_tile` on.
template <int kRowBlocks, int kColumnTiles, int kOwn, typename GetImage>
__device__ RowSums<kRowBlocks> MergeImages(int count, int first_tile, bool wants_exact, GetImage&& image,
                                           float (&out)[kRowBlocks][kOwn][4]) {
  using Sums = RowSums<kRowBlocks>;
  // Images under way at a time: more would take more registers than there are.
  constexpr int kFragments = kRowBlocks * kOwn;
  constexpr int kAtOnce = kFragments > 8 ? 1 : 4;
  // Of one image, fragments under way at a time: as written, because the assembler keeps the order of tall tiles' code.
  constexpr int kBatch = kFragments % 16 == 0 ? 16 : (kFragments % 8 == 0 ? 8 : kFragments);
  Sums merged;
#pragma unroll
  for (int row = 0; row < Sums::kRows; ++row) {
    merged.origin[row] = kNoOrigin;
    merged.sum[row] = 0.0F;
    merged.exact[row] = 0.0F;
#pragma unroll
    for (int tile = 0; tile < kOwn; ++tile)
      out[row / 2][tile][row % 2 * 2] = out[row / 2][tile][row % 2 * 2 + 1] = 0.0F;
  }
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
#pragma unroll
    for (int row = 0; row < Sums::kRows; ++row) {
      merged.origin[row] = fmaxf(merged.origin[row], image(i).OriginAndSum(row).x);
    }
  }
#pragma unroll kAtOnce
  for (int i = 0; i < count; ++i) {
    const Image<kRowBlocks, kColumnTiles> share = image(i);
    float factor[Sums::kRows];
#pragma unroll
    for (int row = 0; row < Sums::kRows; ++row) {
      const float2 other = share.OriginAndSum(row);
      factor[row] = Exp2(other.x - OriginOrZero(merged.origin[row]));
      merged.sum[row] = fmaf(factor[row], other.y, merged.sum[row]);
      if (wants_exact) merged.exact[row] = fmaf(factor[row], share.exact[row * kWarpSize], merged.exact[row]);
    }
#pragma unroll
    for (int first = 0; first < kFragments; first += kBatch) {
      float4 fragments[kBatch];
#pragma unroll
      for (int f = 0; f < kBatch; ++f) {
        const int block = (first + f) / kOwn;
        fragments[f] = share.fragments[(block * kColumnTiles + first_tile + (first + f) % kOwn) * kWarpSize];
      }
#pragma unroll
      for (int f = 0; f < kBatch; ++f) {
        const int block = (first + f) / kOwn;
        float(&to)[4] = out[block][(first + f) % kOwn];
        to[0] = fmaf(factor[2 * block], fragments[f].x, to[0]);
        to[1] = fmaf(factor[2 * block], fragments[f].y, to[1]);
        to[2] = fmaf(factor[2 * block + 1], fragments[f].z, to[2]);
        to[3] = fmaf(factor[2 * block + 1], fragments[f].w, to[3]);
      }
    }
  }
  return merged;
}

template <typename T, int kWords>
__device__ bool HasNan(const uint32_t (&words)[kWords]) {
  using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
  bool nan = false;
#pragma unroll
  for (const uint32_t word : words) {
    const Pair pair = reinterpret_cast<const Pair&>(word);
    nan = nan || !__hbeq2(pair, pair);
  }
  return nan;
}

template <typename T>
__device__ T* OutputRow(const FusedProblem& problem, const FusedWork& work, int row) {
  const PackedRow at = LocatePackedRow(problem, row);
  return reinterpret_cast<T*>(
      static_cast<char*>(problem.o) +
      ChunkOffset(problem.o_strides, work.batch, work.kv_head * problem.group + at.head_in_group, at.query, 0));
}

// Natural logarithms of the sums of exp(logit); -inf for a row that saw no key. `first_row`: the warp's, of the unit.
template <int kRowBlocks>
__device__ void WriteLse(const FusedProblem& problem, const FusedWork& work, int first_row, int lane,
                         const RowSums<kRowBlocks>& sums) {
  constexpr float kLn2 = 0.693147180559945309F;
  if (problem.lse == nullptr) return;
#pragma unroll
  for (int i = 0; i < RowSums<kRowBlocks>::kRows; ++i) {
    const float exact_sum = RowSum(sums.exact[i]);
    const int row = first_row + i * 8 + lane / 4;
    if (lane % 4 != 0 || row >= problem.rows_per_unit) continue;
    const PackedRow at = LocatePackedRow(problem, row);
    const int64_t head =
        (static_cast<int64_t>(work.batch) * problem.num_kv_heads + work.kv_head) * problem.group + at.head_in_group;
    problem.lse[head * problem.q_len + at.query] =
        sums.sum[i] == 0.0F ? -INFINITY : (sums.origin[i] + __log2f(exact_sum)) * kLn2;
  }
}

// A lane's rows of O, where its fragments' first columns go; rows past the end are not to be written.
template <typename T, int kRows>
struct OutputRows {
  T* at[kRows];

  // `first_row`: the warp's, of the unit.
  __device__ OutputRows(const FusedProblem& problem, const FusedWork& work, int first_row, int lane) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      at[i] = OutputRow<T>(problem, work, first_row + i * 8 + lane / 4) + lane % 4 * 2;
      // Found before the merge's waits, not after them.
      asm volatile("" : "+l"(at[i]));
    }
  }

  // Writes some column tiles straight from fragments: for few columns. Whether this lane holds NaN, if a mask may cross
  // the tile.
  template <int kRowBlocks, int kOwn>
  __device__ bool Write(const FusedProblem& problem, int first_row, int first_tile, int lane,
                        const RowSums<kRowBlocks>& sums, const float (&out)[kRowBlocks][kOwn][4]) const {
    uint32_t words[kRows][kOwn];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const float factor = Normaliser(sums.sum[i]);
#pragma unroll
      for (int tile = 0; tile < kOwn; ++tile) {
        const float(&fragment)[4] = out[i / 2][tile];
        words[i][tile] = Pack<T>(fragment[i % 2 * 2] * factor, fragment[i % 2 * 2 + 1] * factor);
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const bool row_valid = first_row + i * 8 + lane / 4 < problem.rows_per_unit;
#pragma unroll
      for (int tile = 0; tile < kOwn; ++tile) {
        const int column = (first_tile + tile) * 8;
        if (row_valid && column < problem.head_dim) *reinterpret_cast<uint32_t*>(at[i] + column) = words[i][tile];
      }
    }
    bool nan = false;
    if (HasMask(problem)) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) nan = nan || HasNan<T>(words[i]);
    }
    return nan;
  }
};

// Of kCount 4 x 4 matrices of words, whose columns the lanes of a quad hold, makes the transposed ones. Step by step
// for all of them: what is independent stands side by side, as the assembler of tall tiles keeps it.
template <int kCount>
__device__ void TransposeQuads(uint32_t (&words)[kCount][4], int lane) {
#pragma unroll
  for (int distance = 1; distance <= 2; distance *= 2) {
    const bool upper = (lane & distance) != 0;
    uint32_t received[kCount][2];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int low = j * (3 - distance);
        received[i][j] = __shfl_xor_sync(kAllLanes, upper ? words[i][low] : words[i][low + distance], distance);
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int low = j * (3 - distance);
        words[i][low] = upper ? received[i][j] : words[i][low];
        words[i][low + distance] = upper ? words[i][low + distance] : received[i][j];
      }
    }
  }
}

// Writes a warp's rows: the lanes of a quad exchange columns of four column tiles, so that each has a whole chunk.
// Whether this lane holds NaN, if a mask may cross the tile.
template <typename T, TileConfig kConfig, int kRowBlocks, int kColumnTiles>
__device__ bool WriteRows(const FusedProblem& problem, const FusedWork& work, int warp, int lane,
                          const RowSums<kRowBlocks>& sums, float (&out)[kRowBlocks][kColumnTiles][4]) {
  constexpr int kRows = RowSums<kRowBlocks>::kRows;
  constexpr int kQuads = kColumnTiles / 4;
  static_assert(kColumnTiles % 4 == 0);
  const int first_row = work.first_row + warp * kConfig.rows_per_warp + lane / 4;
  T* to[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) to[i] = OutputRow<T>(problem, work, first_row + i * 8) + lane % 4 * 8;
  const bool masked = HasMask(problem);
  bool nan = false;
  // Two rows at a time: more would take more registers than there are.
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
    uint32_t words[2 * kQuads][4];
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const float factor = Normaliser(sums.sum[2 * block + side]);
#pragma unroll
      for (int column = 0; column < kColumnTiles; ++column) {
        out[block][column][2 * side] *= factor;
        out[block][column][2 * side + 1] *= factor;
      }
    }
#pragma unroll
    for (int column = 0; column < kColumnTiles; ++column) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        words[side * kQuads + column / 4][column % 4] =
            Pack<T>(out[block][column][2 * side], out[block][column][2 * side + 1]);
      }
    }
    if (masked) {
#pragma unroll
      for (int i = 0; i < 2 * kQuads; ++i) nan = nan || HasNan<T>(words[i]);
    }
    TransposeQuads(words, lane);
#pragma unroll
    for (int i = 0; i < 2 * kQuads; ++i) {
      const int row = 2 * block + i / kQuads;
      const int first = i % kQuads * 4;
      if (first_row + row * 8 < problem.rows_per_unit && (first + lane % 4) * 8 < problem.head_dim) {
        const uint4 chunk = {words[i][0], words[i][1], words[i][2], words[i][3]};
        *reinterpret_cast<uint4*>(to[row] + first * 8) = chunk;
      }
    }
  }
  return nan;
}

// Hands this CTA's share of a split tile in. True in the last CTA of the tile to arrive: every share is visible to it.
__device__ inline bool ArriveLast(const FusedProblem& problem, const FusedWork& work) {
  __threadfence();
  // This CTA's share is written and visible to the device.
  __syncthreads();
  bool last = false;
  if (threadIdx.x == 0) {
    uint32_t& arrivals = problem.arrivals[work.split_tile];
    last = atomicAdd(&arrivals, 1U) + 1U == static_cast<uint32_t>(work.splits);
    // The next launch counts from 0 again.
    if (last) arrivals = 0;
    __threadfence();
  }
  // From the first thread to all, without shared memory: some configurations fill it to the last byte.
  return __syncthreads_or(last) != 0;
}

// Exchanges this CTA's share for the whole tile's sums, in place. False unless this CTA is the tile's last.
template <TileConfig kConfig, int kRowBlocks, int kOwn>
__device__ bool MergeSplits(const FusedProblem& problem, const FusedWork& work, int warp, int lane,
                            RowSums<kRowBlocks>& sums, float (&out)[kRowBlocks][kOwn][4]) {
  const auto image = [&](int split) {
    const int64_t share = static_cast<int64_t>(work.split_tile) * problem.splits + split;
    return Image<kRowBlocks, kOwn>(
        problem.partials + share * kConfig.SplitShareFloats() + warp * kConfig.ImageFloats(kOwn), lane);
  };
  const bool wants_exact = problem.lse != nullptr;
  image(work.split).Write(lane, wants_exact, out, sums);
  if (!ArriveLast(problem, work)) return false;
  sums = MergeImages<kRowBlocks, kOwn, kOwn>(work.splits, 0, wants_exact, image, out);
  return true;
}

// containment.cuh, for a tile that a mask may cross and whose O is stored. Out of line: rare, and in line it would cost
// those that never come here registers and time.
template <typename T, TileConfig kConfig>
__device__ __noinline__ void ContainTile(const FusedProblem& problem, const FusedWork work, unsigned char* shared) {
  constexpr float kLn2 = 0.693147180559945309F;
  const float sm_scale = problem.scale_log2 * kLn2;
  const auto row_of = [&](const void* tensor, const FusedStrides& strides, int head, int row) {
    return reinterpret_cast<const T*>(static_cast<const char*>(tensor) +
                                      ChunkOffset(strides, work.batch, head, row, 0));
  };
  const KeysValues<T> kv = {row_of(problem.k, problem.k_strides, work.kv_head, 0),
                            row_of(problem.v, problem.v_strides, work.kv_head, 0),
                            int64_t{problem.k_strides.row} * (kVectorBytes / 2),
                            int64_t{problem.v_strides.row} * (kVectorBytes / 2),
                            problem.head_dim,
                            sm_scale,
                            problem.cap_exponent > 0.0F ? problem.cap_over_scale * sm_scale : 0.0F};
  const int rows = min(kConfig.Rows(), problem.rows_per_unit - work.first_row);
  const auto row_at = [&](int i) {
    const PackedRow at = LocatePackedRow(problem, work.first_row + i);
    const FusedKeySpan keys = VisibleKeys(problem, at.query);
    return TileRow<T>{row_of(problem.q, problem.q_strides, work.kv_head * problem.group + at.head_in_group, at.query),
                      OutputRow<T>(problem, work, work.first_row + i), KeySpan{keys.begin, keys.end}};
  };
  ContainNan<kConfig.head_dim / kWarpSize>(kv, SeenByAll<kConfig.Rows()>(problem, work), rows, shared, row_at);
}

template <typename T, TileConfig kConfig, int kRowBlocks, int kColumnTiles>
__device__ void WriteTile(const FusedProblem& problem, const FusedWork& work, const OnlineSoftmax<kRowBlocks>& softmax,
                          float (&out)[kRowBlocks][kColumnTiles][4], unsigned char* shared) {
  const int lane = ThreadIndex() % kWarpSize;
  const int warp = ThreadIndex() / kWarpSize;
  RowSums<kRowBlocks> sums = RowSums<kRowBlocks>::Of(softmax);
  bool nan = false;
  if constexpr (kConfig.key_groups == 1) {
    const int first_row = work.first_row + warp * kConfig.rows_per_warp;
    if (problem.splits > 1 && work.splits > 1 && !MergeSplits<kConfig>(problem, work, warp, lane, sums, out)) return;
    WriteLse(problem, work, first_row, lane, sums);
    nan = WriteRows<T, kConfig>(problem, work, warp, lane, sums, out);
  } else {
    constexpr int kOwn = kConfig.OwnColumnTiles();
    const int row_group = warp % kConfig.row_groups;
    const int key_group = warp / kConfig.row_groups;
    const int first_row = work.first_row + row_group * kConfig.rows_per_warp;
    const auto image = [&](int group) {
      float* images = reinterpret_cast<float*>(shared);
      return Image<kRowBlocks, kColumnTiles>(
          images + (group * kConfig.row_groups + row_group) * kConfig.ImageFloats(kColumnTiles), lane);
    };
    // Every warp is done with K and V: their memory is free.
    __syncthreads();
    const OutputRows<T, 2 * kRowBlocks> rows(problem, work, first_row, lane);
    const bool wants_exact = problem.lse != nullptr;
    image(key_group).Write(lane, wants_exact, out, sums);
    // All key groups' shares are written.
    __syncthreads();
    float own[kRowBlocks][kOwn][4];
    sums = MergeImages<kRowBlocks, kColumnTiles, kOwn>(kConfig.key_groups, key_group * kOwn, wants_exact, image, own);
    if (problem.splits > 1 && work.splits > 1 && !MergeSplits<kConfig>(problem, work, warp, lane, sums, own)) return;
    if (key_group == 0) WriteLse(problem, work, first_row, lane, sums);
    nan = rows.Write(problem, first_row, key_group * kOwn, lane, sums, own);
  }
  // All of O is stored.
  if (!HasMask(problem) || __syncthreads_or(static_cast<int>(nan)) == 0) return;
  ContainTile<T, kConfig>(problem, work, shared);
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_EPILOGUE_CUH_
