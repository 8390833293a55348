// A tile of many rows: every warp has rows of its own and takes all keys of the tile's.
//
//   global --cp.async--> shared, `stages` tiles of K and of V --ldmatrix--> B fragments
//   Q      --through shared, once--> A fragments, kept                          `--> warp_rows.cuh --> O
//
// K is loaded one tile ahead of V: with O += P V of one tile a warp computes the scores of the next.
#ifndef FLASHCORE_KERNELS_CUDA_TALL_TILE_CUH_
#define FLASHCORE_KERNELS_CUDA_TALL_TILE_CUH_

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

template <typename T, TileConfig kConfig>
__device__ void AttendTall(const FusedProblem& problem, int cta, unsigned char* shared_memory) {
  using Rows = WarpRows<T, kConfig>;
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  constexpr int kStages = kConfig.stages;
  constexpr uint32_t kQueryAt = 2 * kConfig.RingBytes() - kConfig.StagedQueryBytes();
  constexpr int kEarlyTiles = kConfig.EarlyTiles();
  static_assert(kStages >= 2 && kEarlyTiles >= 1);

  const FusedWork work = FindWork<kConfig.Rows()>(problem, cta);
  if (!work.Exists(problem)) return;
  const uint32_t shared = Opaque(SharedAddress(shared_memory));
  const int thread = ThreadIndex();
  const int lane = thread % kWarpSize;
  const int row_group = thread / kWarpSize;
  // The work, once the main loop has begun: where registers are scarce it is kept in shared memory, which every warp
  // reads behind the loop's first barrier.
  __shared__ FusedWork kept_work;
  if (kConfig.RegistersScarce() && thread == 0) kept_work = work;
  const auto same_work = [&] { return kConfig.RegistersScarce() ? kept_work : work; };
  const int tiles = work.end > work.begin ? (work.end - work.begin + kConfig.Keys() - 1) / kConfig.Keys() : 0;

  Rows rows(problem, lane);
  if (tiles > 0) {
    const Mover mover(thread, problem.head_dim);
    TileLoader<kConfig> key_loader(problem.k, problem.k_strides, work, 0, mover);
    TileLoader<kConfig> value_loader(problem.v, problem.v_strides, work, 0, mover);
    // The first keys and Q make the first group: the keys leave while Q's rows are located.
    key_loader.Load(shared, problem.k_strides.row);
    LoadQuery<kConfig>(problem, work, mover, shared + kQueryAt);
    const auto first_load = [&](int tile) {
      const uint32_t keys = shared + tile * kConfig.MatrixBytes();
      if (tile > 0) key_loader.Load(keys, problem.k_strides.row);
      if (tile > 0) value_loader.Load(keys + kConfig.RingBytes() - kConfig.MatrixBytes(), problem.v_strides.row);
      CommitCopies();
    };
#pragma unroll
    for (int tile = 0; tile < kEarlyTiles; ++tile) first_load(tile);
    // Found while the copies are on their way.
    const WarpSteps first_steps =
        WarpSteps::Of<kConfig>(problem, work, work.first_row + row_group * kConfig.rows_per_warp, work.begin);
    // Q and the first keys have arrived, first this thread's part and then everybody's.
    WaitForCopies<kEarlyTiles - 1>();
    __syncthreads();
    rows.ReadQuery(shared + kQueryAt + row_group * kConfig.rows_per_warp * Mover::Row::kSegmentBytes);
    if constexpr (kEarlyTiles < kStages) {
      // Every warp has read Q: its memory is free.
      __syncthreads();
#pragma unroll
      for (int tile = kEarlyTiles; tile < kStages; ++tile) first_load(tile);
    }

    const uint32_t keys = Opaque(shared);
    const uint32_t values = keys + kConfig.RingBytes();
    constexpr uint32_t kLastStage = (kStages - 1) * kConfig.MatrixBytes();
    uint32_t stage = kLastStage;                              // Of `tile`, in bytes.
    bool weighed = first_steps.Plain(0) && rows.Begin(keys);  // The weights of `tile` are there.
    // The plain steps, once the softmax has settled.
    int plain_begin = weighed ? first_steps.plain_begin : 0;
    int plain_end = weighed ? first_steps.plain_end : 0;
    for (int tile = -1;; ++tile) {
      const int next = tile + 1;
      const uint32_t next_stage = stage == kLastStage ? 0 : stage + kConfig.MatrixBytes();
      // Tiles past the last are zeros.
      const auto load = [&] {
        const uint32_t last_stage = stage == 0 ? kLastStage : stage - kConfig.MatrixBytes();
        key_loader.Load(shared + stage, problem.k_strides.row);
        value_loader.Load(shared + kConfig.RingBytes() + last_stage, problem.v_strides.row);
        CommitCopies();
      };
      if (tile >= 0) {
        // This tile's values and the next one's keys have arrived, and every warp is done with those before.
        WaitForCopies<kStages - 2>();
        __syncthreads();
        if (next >= plain_begin && next < plain_end) {
          weighed = rows.Advance(values + stage, keys + next_stage, load);
        } else {
          load();
          if (weighed) rows.AddValues(values + stage);
          weighed = false;
          if (next == tiles) break;
        }
      }
      if (!weighed) {
        const FusedWork again = same_work();
        const int first_row = again.first_row + row_group * kConfig.rows_per_warp;
        const int first_key = again.begin;
        const WarpSteps steps = WarpSteps::Of<kConfig>(problem, again, first_row, first_key);
        weighed = steps.Seen(next);
        if (weighed) {
          rows.Weigh(keys + next_stage, [&](typename Rows::Scores& scores) {
            if (!steps.Plain(next)) {
              if (problem.cap_exponent > 0.0F) SoftCap(problem, scores);
              Mask<kConfig.Keys()>(problem, first_row, first_key + next * kConfig.Keys(), again.end, lane, 0, scores);
            }
          });
          if (rows.softmax.settled) {
            plain_begin = steps.plain_begin;
            plain_end = steps.plain_end;
          }
        }
      }
      stage = next_stage;
    }
    // Nothing is on its way any more: the epilogue takes the memory.
    WaitForCopies<0>();
  }
  WriteTile<T, kConfig>(problem, tiles > 0 ? same_work() : work, rows.softmax, rows.out, shared_memory);
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_TALL_TILE_CUH_
