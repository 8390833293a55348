// A tile of few rows: its keys are shared out among groups of warps, each with a part of every tile of keys.
//
//   slot      0    1    2    3     shared memory, `stages` tiles of keys; a block is as many tiles
//   holds     K0   K1   K2   K3    the scores of a block, slot by slot; each is free for...
//   then      V0   V1   V2   V3    ...the block's values, and those for the next block's keys
//   then      K4   K5   ...
//
// A group loads its own part and waits only for itself. Grids of such tiles leave little to overlap with, so what
// counts is the chain of latencies: as few waits, votes and merges as the keys allow.
#ifndef FLASHCORE_KERNELS_CUDA_SHORT_TILE_CUH_
#define FLASHCORE_KERNELS_CUDA_SHORT_TILE_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_epilogue.cuh"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/score_mask.cuh"
#include "kernels/cuda/shared_tile.cuh"
#include "kernels/cuda/tile_config.h"
#include "kernels/cuda/tile_loads.cuh"
#include "kernels/cuda/warp_rows.cuh"

namespace flashcore::cuda {

// Waits for the warps that share a group's keys.
template <TileConfig kConfig>
__device__ void SyncGroup(int key_group) {
  if constexpr (kConfig.row_groups == 1) {
    __syncwarp();
  } else {
    BarrierOf<kConfig.row_groups * kWarpSize>(key_group + 1);
  }
}

template <typename T, TileConfig kConfig>
__device__ void AttendShort(const FusedProblem& problem, int cta, unsigned char* shared_memory) {
  using Rows = WarpRows<T, kConfig>;
  using Loader = TileLoader<kConfig>;
  constexpr int kSteps = kConfig.stages;
  static_assert(kSteps >= 2 && kConfig.key_groups < 16);

  const FusedWork work = FindWork<kConfig.Rows()>(problem, cta);
  if (!work.Exists(problem)) return;
  const uint32_t shared = Opaque(SharedAddress(shared_memory));
  const int thread = ThreadIndex();
  const int lane = thread % kWarpSize;
  const int row_group = thread / kWarpSize % kConfig.row_groups;
  const int key_group = thread / kWarpSize / kConfig.row_groups;
  const int tiles = work.end > work.begin ? (work.end - work.begin + kConfig.Keys() - 1) / kConfig.Keys() : 0;

  Rows rows(problem, lane);
  if (tiles > 0) {
    const typename Loader::Mover mover(thread % Loader::kThreads, problem.head_dim);
    Loader key_loader(problem.k, problem.k_strides, work, key_group, mover);
    Loader value_loader(problem.v, problem.v_strides, work, key_group, mover);
    const uint32_t query = shared + kConfig.RingBytes();
    const uint32_t ring = shared + static_cast<uint32_t>(key_group * kConfig.keys_per_step * kConfig.RowBytes());
    const auto slot = [&](int step) { return ring + static_cast<uint32_t>(step * kConfig.MatrixBytes()); };
    const auto copy_keys = [&](int tile, int step) {
      if (tile < tiles) key_loader.Load(slot(step), problem.k_strides.row);
    };
    const auto load_keys = [&](int tile, int step) {
      copy_keys(tile, step);
      CommitCopies();
    };
    const auto load_values = [&](int tile, int step) {
      if (tile < tiles) value_loader.Load(slot(step), problem.v_strides.row);
      CommitCopies();
    };
    // The first keys and Q make the first group: the keys leave while Q's rows are located.
    copy_keys(0, 0);
    LoadQuery<kConfig>(problem, work, RowMover<kConfig.head_dim, kConfig.Threads()>(thread, problem.head_dim), query);
    CommitCopies();
#pragma unroll
    for (int step = 1; step < kSteps; ++step) load_keys(step, step);
    const int first_row = work.first_row + row_group * kConfig.rows_per_warp;
    const int first_key = work.begin + key_group * kConfig.keys_per_step;
    WarpSteps steps = WarpSteps::Of<kConfig>(problem, work, first_row, first_key);
    // Found while the copies are on their way, not after.
    steps.plain_begin = Opaque(steps.plain_begin);
    steps.plain_end = Opaque(steps.plain_end);
    // Q and the first keys have arrived, first this thread's part and then everybody's.
    WaitForCopies<kSteps - 1>();
    __syncthreads();
    rows.ReadQuery(query + row_group * kConfig.rows_per_warp * SharedRow<kConfig.head_dim>::kSegmentBytes);

#pragma unroll 1
    for (int begin = 0; begin < tiles; begin += kSteps) {
      typename Rows::BlockScores scores;
      Rows::ClearBlock(scores);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        if (begin + step > 0) {
          // These keys have arrived, and every warp of the group is done with what came before them.
          WaitForCopies<kSteps - 2>();
          SyncGroup<kConfig>(key_group);
          if (step == 0) {
            load_keys(begin + kSteps - 1, kSteps - 1);
          } else {
            load_values(begin + step - 1, step - 1);
          }
        }
        if (begin + step < tiles) rows.AddStepScores(scores, slot(step), step);
      }
      // One branch past all of it: instructions that are jumped over have to be fetched from further away.
      if (begin < steps.plain_begin || begin + kSteps > steps.plain_end) {
        if (problem.cap_exponent > 0.0F) SoftCap(problem, scores);
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          if (steps.Plain(begin + step)) continue;
          Mask<kConfig.keys_per_step>(problem, first_row, first_key + (begin + step) * kConfig.Keys(), work.end, lane,
                                      step * kConfig.keys_per_step / 8, scores);
        }
      }
      rows.WeighBlock(scores);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        // These values have arrived, and every warp of the group is done with what came before them.
        WaitForCopies<kSteps - 2>();
        SyncGroup<kConfig>(key_group);
        if (step == 0) {
          load_values(begin + kSteps - 1, kSteps - 1);
        } else {
          load_keys(begin + kSteps + step - 1, step - 1);
        }
        if (begin + step < tiles) rows.AddStepValues(scores, slot(step), step);
      }
    }
    // Nothing is on its way any more: the epilogue takes the memory.
    WaitForCopies<0>();
  }
  WriteTile<T, kConfig>(problem, work, rows.softmax, rows.out, shared_memory);
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_SHORT_TILE_CUH_
