// Online softmax of the rows that a warp holds as C fragments of mma.m16n8k16 (ptx.cuh draws them).
//
// Of row block b a lane holds two rows, q and q + 8, side `0` and side `1`; four neighbouring lanes share each row.
// Scores are kept unscaled: weight = 2^((score - max) * scale_log2), one multiply-add and one ex2.
//
// `max` is where exponents are taken from, and need not be the maximum: it moves only when a score passes it by more
// than `headroom` (kHeadroomLog2 powers of two), because moving it means rescaling O. The result is the same; weights
// reach at most 2^kHeadroomLog2, which 16-bit floats hold with the same relative precision.
#ifndef FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_
#define FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_

#include <cstdint>

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

// Exponents are taken from 0 as long as no score was above -inf: -inf - -inf would be NaN.
__device__ inline float Origin(float max) { return max == -INFINITY ? 0.0F : max; }

template <int kRowBlocks>
struct OnlineSoftmax {
  float max[kRowBlocks][2];
  // Two sums of the same weights. As C fragments, every column the rows' sums: what the rounded weights make of a
  // matrix of ones. O is divided by these, so that a row with one weight gives exactly that key's value.
  float sums[kRowBlocks][4];
  // And before rounding, of this lane's columns: LSE is made of these.
  float exact_sums[kRowBlocks][2];
  float peak[kRowBlocks][2];
  float scale_log2;
  float headroom;

  __device__ OnlineSoftmax(float scale, float room) : scale_log2(scale), headroom(room) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        max[block][side] = -INFINITY;
        exact_sums[block][side] = 0.0F;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[block][i] = 0.0F;
    }
  }

  __device__ float Sum(int block, int side) const { return sums[block][2 * side]; }

  // Of the whole row; in all lanes of the warp together.
  __device__ float ExactSum(int block, int side) const { return RowSum(exact_sums[block][side]); }

  // What to add to scale_log2 * score to get a weight's exponent.
  __device__ float Offset(int block, int side) const { return -Origin(max[block][side]) * scale_log2; }

  // The largest of this lane's columns of each row of a step's scores, for Admit.
  template <int kKeyTiles>
  __device__ void FindPeaks(const float (&scores)[kRowBlocks][kKeyTiles][4]) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        float m = fmaxf(scores[block][0][2 * side], scores[block][0][2 * side + 1]);
#pragma unroll
        for (int tile = 1; tile < kKeyTiles; ++tile) {
          m = fmaxf(m, fmaxf(scores[block][tile][2 * side], scores[block][tile][2 * side + 1]));
        }
        peak[block][side] = m;
      }
    }
  }

  // Makes room for the scores whose peaks were found: moves the maxima and rescales `out` and the sums if any row of
  // the warp needs it.
  template <int kColumnTiles>
  __device__ void Admit(float (&out)[kRowBlocks][kColumnTiles][4]) {
    bool over = false;
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) over = over || peak[block][side] > max[block][side] + headroom;
    }
    if (__any_sync(kAllLanes, over)) Rescale(out);
  }

 private:
  template <int kColumnTiles>
  __device__ void Rescale(float (&out)[kRowBlocks][kColumnTiles][4]) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const float raised = fmaxf(max[block][side], RowMax(peak[block][side]));
        const float factor = Exp2((max[block][side] - Origin(raised)) * scale_log2);
        max[block][side] = raised;
        sums[block][2 * side] *= factor;
        exact_sums[block][side] *= factor;
#pragma unroll
        for (int column = 0; column < kColumnTiles; ++column) {
          out[block][column][2 * side] *= factor;
          out[block][column][2 * side + 1] *= factor;
        }
      }
    }
  }
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_ONLINE_SOFTMAX_CUH_
