// What becomes of scores before their softmax: soft caps and masks, and which of a warp's steps need either.
#ifndef FLASHCORE_KERNELS_CUDA_SCORE_MASK_CUH_
#define FLASHCORE_KERNELS_CUDA_SCORE_MASK_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// Caps scores softly. Not on the common path.
template <int kRowBlocks, int kKeyTiles>
__device__ void SoftCap(const FusedProblem& problem, float (&scores)[kRowBlocks][kKeyTiles][4]) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int tile = 0; tile < kKeyTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        // tanh(x) = 1 - 2 / (2^(2 x log2 e) + 1): exact to float's absolute precision, and right at both infinities.
        float& score = scores[block][tile][i];
        score = problem.cap_over_scale * (1.0F - __fdividef(2.0F, Exp2(score * problem.cap_exponent) + 1.0F));
      }
    }
  }
}

// Of kKeys keys from `first_key` on, whose scores begin at key tile `first_tile`, takes out what a row does not see and
// what is not before `end`. Not on the common path.
template <int kKeys, int kRowBlocks, int kKeyTiles>
__device__ void Mask(const FusedProblem& problem, int first_row, int first_key, int end, int lane, int first_tile,
                     float (&scores)[kRowBlocks][kKeyTiles][4]) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = first_row + block * 16 + side * 8 + lane / 4;
      const FusedKeySpan visible = VisibleKeys(problem, Quotient(row, problem.by_group));
#pragma unroll
      for (int tile = 0; tile < kKeys / 8; ++tile) {
#pragma unroll
        for (int i = 2 * side; i < 2 * side + 2; ++i) {
          const int key = first_key + tile * 8 + lane % 4 * 2 + i % 2;
          if (key < visible.begin || key >= min(visible.end, end)) scores[block][first_tile + tile][i] = -INFINITY;
        }
      }
    }
  }
}

// Of a warp's steps, those that some of its rows see, and the plain ones, which no mask crosses and no soft cap shapes.
struct WarpSteps {
  int seen_begin;
  int seen_end;
  int plain_begin;
  int plain_end;

  // `first_row` is the warp's, of the unit; `first_key` that of its first step.
  template <TileConfig kConfig>
  __device__ static WarpSteps Of(const FusedProblem& problem, const FusedWork& work, int first_row, int first_key) {
    const int last_row = min(first_row + kConfig.rows_per_warp, problem.rows_per_unit) - 1;
    if (last_row < first_row) return {0, 0, 0, 0};
    const FusedKeySpan first = VisibleKeys(problem, Quotient(first_row, problem.by_group));
    const FusedKeySpan last = VisibleKeys(problem, Quotient(last_row, problem.by_group));
    constexpr int kKeys = kConfig.Keys();
    const auto ending_by = [&](int key) { return max(key - first_key + kKeys - kConfig.keys_per_step, 0) / kKeys; };
    const auto beginning_before = [&](int key) { return max(key - first_key + kKeys - 1, 0) / kKeys; };
    return {ending_by(first.begin), beginning_before(min(last.end, work.end)), beginning_before(last.begin),
            problem.cap_exponent > 0.0F ? 0 : ending_by(min(first.end, work.end))};
  }
  __device__ bool Seen(int step) const { return step >= seen_begin && step < seen_end; }
  __device__ bool Plain(int step) const { return step >= plain_begin && step < plain_end; }
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_SCORE_MASK_CUH_
