// Online softmax of the rows that a warp holds as C fragments of mma.m16n8k16 (ptx.cuh draws them).
//
// Of row block b a lane holds two rows, q and q + 8, side `0` and side `1`; four neighbouring lanes share each row.
// Scores are kept unscaled: weight = 2^(score * scale_log2 - origin), one multiply-add and one ex2.
//
// A row's `origin` is where exponents are taken from, and need not be its largest: it moves only when an exponent
// passes it by more than kHeadroomLog2, because moving it means rescaling O. The result is the same; 16-bit floats hold
// larger weights with the same relative precision.
#ifndef FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_
#define FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/ptx.cuh"

namespace flashcore::cuda {

// Over the four lanes that share a row; every one gets the same bits.
__device__ inline float RowMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

__device__ inline float RowSum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

// Of a row that has seen no key; exponents are then taken from 0, for -inf - -inf would be NaN.
inline constexpr float kNoOrigin = -INFINITY;
__device__ inline float OriginOrZero(float origin) { return origin == kNoOrigin ? 0.0F : origin; }

// What a step's weights may add to a lane's sum without moving the origin first: a quarter of what an FP16 weight can
// be, and more than the sum of weights that kHeadroomLog2 lets through, so that a step that does not fit does move it.
inline constexpr float kMaxWeights = 16384.0F;

template <int kRowBlocks>
struct OnlineSoftmax {
  using RowValues = float[kRowBlocks][2];

  RowValues origin;
  // Two sums of the same weights. As C fragments, every column the rows' sums: what the rounded weights make of a
  // matrix of ones. O is divided by these, so that a row with one weight gives exactly that key's value.
  float sums[kRowBlocks][4];
  // And before rounding, of this lane's columns: LSE is made of these.
  RowValues exact_sums;
  float scale_log2;
  bool settled;  // Every row of the warp has an origin.

  __device__ explicit OnlineSoftmax(float scale) : scale_log2(scale), settled(false) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        origin[block][side] = kNoOrigin;
        exact_sums[block][side] = 0.0F;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[block][i] = 0.0F;
    }
  }

  __device__ float Sum(int block, int side) const { return sums[block][2 * side]; }

  // Of the whole row; in all lanes of the warp together.
  __device__ float ExactSum(int block, int side) const { return RowSum(exact_sums[block][side]); }

  // Takes a step's weights, added up by lane, into the exact sums, unless some lane of the warp has weights that may
  // not fit 16 bits: then the origins have to move first. NaN does not fit.
  __device__ bool Accept(const RowValues& added) {
    bool fit = true;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) fit = fit && added[block][side] <= kMaxWeights;
    }
    if (__any_sync(kAllLanes, !fit)) return false;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) exact_sums[block][side] += added[block][side];
    }
    return true;
  }

  // Takes the first origins from some of the first step's scores. False if a row has none there.
  template <int kKeyTiles>
  __device__ bool Begin(const float (&scores)[kRowBlocks][kKeyTiles][4]) {
    bool seen = true;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) origin[block][side] = RowMax(Peak(scores, block, side));
    }
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) seen = seen && origin[block][side] != kNoOrigin;
    }
    settled = __all_sync(kAllLanes, seen);
    return settled;
  }

  // Makes room for a step's scores: moves the origins and rescales `out` and the sums if any row of the warp needs it.
  template <int kKeyTiles, int kColumnTiles>
  __device__ void Admit(const float (&scores)[kRowBlocks][kKeyTiles][4], float (&out)[kRowBlocks][kColumnTiles][4]) {
    RowValues peak;
    bool over = false;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        peak[block][side] = Peak(scores, block, side);
        over = over || peak[block][side] > origin[block][side] + kHeadroomLog2;
      }
    }
    if (__any_sync(kAllLanes, over)) Rescale(peak, out);
  }

 private:
  // The largest exponent that this lane holds of a row.
  template <int kKeyTiles>
  __device__ float Peak(const float (&scores)[kRowBlocks][kKeyTiles][4], int block, int side) const {
    float m = fmaxf(scores[block][0][2 * side], scores[block][0][2 * side + 1]);
#pragma unroll
    for (int tile = 1; tile < kKeyTiles; ++tile) {
      m = fmaxf(m, fmaxf(scores[block][tile][2 * side], scores[block][tile][2 * side + 1]));
    }
    return m * scale_log2;
  }

  template <int kColumnTiles>
  __device__ void Rescale(const RowValues& peak, float (&out)[kRowBlocks][kColumnTiles][4]) {
    bool seen = true;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const float raised = fmaxf(origin[block][side], RowMax(peak[block][side]));
        const float factor = Exp2(origin[block][side] - OriginOrZero(raised));
        origin[block][side] = raised;
        seen = seen && raised != kNoOrigin;
        sums[block][2 * side] *= factor;
        exact_sums[block][side] *= factor;
#pragma unroll
        for (int column = 0; column < kColumnTiles; ++column) {
          out[block][column][2 * side] *= factor;
          out[block][column][2 * side + 1] *= factor;
        }
      }
    }
    settled = __all_sync(kAllLanes, seen);
  }
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_
