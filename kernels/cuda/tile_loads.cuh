// What a fused kernel's threads bring from global into shared memory: tiles of K and V, and Q.
#ifndef FLASHCORE_KERNELS_CUDA_TILE_LOADS_CUH_
#define FLASHCORE_KERNELS_CUDA_TILE_LOADS_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/shared_tile.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// Moves a key group's share of the CTA's tiles of K or of V, front to back, by that group's threads.
template <TileConfig kConfig>
class TileLoader {
 public:
  static constexpr int kThreads = kConfig.row_groups * kWarpSize;
  using Mover = RowMover<kConfig.head_dim, kThreads>;

  // `mover`: of the thread within its group. It has to live as long.
  __device__ TileLoader(const void* tensor, const FusedStrides& strides, const FusedWork& work, int key_group,
                        const Mover& mover)
      : mover_(mover), keys_left_(work.end - work.begin - key_group * kConfig.keys_per_step - mover.row) {
    const int key = work.begin + key_group * kConfig.keys_per_step + mover.row;
    next_ = static_cast<const char*>(tensor) + ChunkOffset(strides, work.batch, work.kv_head, key, mover.chunk);
  }

  // Issues the copies of the next tile; keys past the end become zeros. `row_stride` is the tensor's.
  __device__ void Load(uint32_t shared, int row_stride) {
    const uint32_t row_bytes = static_cast<uint32_t>(row_stride) * kVectorBytes;
    const uint32_t pass_bytes = row_bytes * Mover::kRowsPerPass;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const bool key_valid = keys_left_ > pass * Mover::kRowsPerPass;
#pragma unroll
      for (int segment = 0; segment < Mover::Row::kSegments; ++segment) {
        CopyAsync(shared + mover_.SharedOffset(pass, segment), next_ + segment * Mover::Row::kSegmentBytes,
                  key_valid && mover_.ColumnValid(segment));
      }
      next_ += pass_bytes;
    }
    // The other groups' shares.
    next_ += uint64_t{row_bytes} * (kConfig.Keys() - kConfig.keys_per_step);
    keys_left_ -= kConfig.Keys();
  }

 private:
  static constexpr int kPasses = kConfig.keys_per_step / Mover::kRowsPerPass;
  static_assert(kConfig.keys_per_step % Mover::kRowsPerPass == 0);

  const Mover& mover_;
  const char* next_;  // This thread's first chunk of the next tile.
  int keys_left_;     // From this thread's first row on.
};

// Issues the copies of the tile's rows of Q; rows past the end become zeros.
template <TileConfig kConfig>
__device__ void LoadQuery(const FusedProblem& problem, const FusedWork& work,
                          const RowMover<kConfig.head_dim, kConfig.Threads()>& mover, uint32_t shared) {
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  const auto locate = [&](int row) {
    const PackedRow at = LocatePackedRow(problem, row);
    const int head = work.kv_head * problem.group + at.head_in_group;
    return static_cast<const char*>(problem.q) +
           ChunkOffset(problem.q_strides, work.batch, head, at.query, mover.chunk);
  };
  const auto load_pass = [&](int pass, const char* from) {
    const bool row_valid = work.first_row + pass * Mover::kRowsPerPass + mover.row < problem.rows_per_unit;
#pragma unroll
    for (int segment = 0; segment < Mover::Row::kSegments; ++segment) {
      CopyAsync(shared + segment * kConfig.QuerySegmentBytes() +
                    static_cast<uint32_t>(pass * Mover::kRowsPerPass * Mover::Row::kSegmentBytes) +
                    mover.segment_shared,
                from + segment * Mover::Row::kSegmentBytes, row_valid && mover.ColumnValid(segment));
    }
  };
  if (Mover::kRowsPerPass > kConfig.Rows() && mover.row >= kConfig.Rows()) return;
  constexpr int kPasses = (kConfig.Rows() + Mover::kRowsPerPass - 1) / Mover::kRowsPerPass;
  const int first_row = work.first_row + mover.row;
  const char* from = locate(first_row);
  if (problem.group == 1) {
    // Packed rows are rows of one head.
    const uint32_t pass_bytes = static_cast<uint32_t>(problem.q_strides.row) * (kVectorBytes * Mover::kRowsPerPass);
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) load_pass(pass, from + uint64_t{pass_bytes} * pass);
    return;
  }
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) load_pass(pass, locate(first_row + pass * Mover::kRowsPerPass));
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_TILE_LOADS_CUH_
