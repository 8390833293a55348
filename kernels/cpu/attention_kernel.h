// The CPU kernel: one task of a RowTiling, compiled for several instruction sets.
#ifndef FLASHCORE_KERNELS_CPU_ATTENTION_KERNEL_H_
#define FLASHCORE_KERNELS_CPU_ATTENTION_KERNEL_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cpu/row_tiles.h"

namespace flashcore::cpu {

inline constexpr int kHeadDimBound = static_cast<int>(kMaxHeadDim);
inline constexpr int kCacheLineBytes = 64;

// A tile while the keys pass by. Everything is transposed, so that a vector holds one quantity of consecutive query
// rows: no lane ever meets another one, and a NaN in one row stays there.
struct alignas(kCacheLineBytes) TileState {
  float q[kHeadDimBound * kTileRows];  // Q^T [D, rows].
  float o[kHeadDimBound * kTileRows];  // O^T [D, rows], not yet divided by row_sum.
  float row_max[kTileRows];            // Of sm_scale * log2(e) * logit; -inf before the first key.
  float row_sum[kTileRows];            // sum_j 2^(logit_j - row_max).
  float rescale[kTileRows];            // What the current block multiplies the sums so far by.
  int64_t begin[kTileRows];            // Visible keys of each row; rows past the tile's repeat the last one.
  int64_t end[kTileRows];
};

// A thread's working memory, allocated once: about 540 KiB, of which a problem touches what its head_dim needs.
struct alignas(kCacheLineBytes) Scratch {
  TileState tiles[kMaxTaskTiles];
  float scores[kBlockKeys * kTileRows];    // S^T, then P^T [keys, rows].
  float keys[kBlockKeys * kHeadDimBound];  // A block converted to float, [keys, D].
  float values[kBlockKeys * kHeadDimBound];
  float rows[kTileRows * kHeadDimBound];  // Q or O on its way through the transposition, [rows, D].
  float mask_begin[kTileRows];            // TileState::begin and end relative to the block.
  float mask_end[kTileRows];
};

struct Kernel {
  const char* target;  // The instruction set, as Highway names it: "AVX3".
  // Computes the task-th task of `tiling`, which is the problem's own. Thread-safe with one Scratch per thread.
  void (*run_task)(const AttentionProblem& problem, const RowTiling& tiling, int64_t task, Scratch& scratch);
};

// The best kernel for this CPU.
Kernel ChooseKernel();

}  // namespace flashcore::cpu

#endif  // FLASHCORE_KERNELS_CPU_ATTENTION_KERNEL_H_
