// Attention in one kernel, on the tensor cores: O = softmax(mask(Q K^T)) V for one tile of rows in each CTA.
//
//   global --cp.async--> shared, `stages` tiles of K and of V --ldmatrix--> B fragments
//   Q      --through shared, once--> A fragments, kept                          `--> warp_rows.cuh --> O
//
// K is loaded one tile ahead of V: with O += P V of one tile a warp computes the scores of the next.
//
// Needs: 16-bit elements; rows of Q, K, V and O that start on 16 bytes; head_dim a multiple of 8, at most the
// configuration's.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_epilogue.cuh"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/online_softmax.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/shared_tile.cuh"
#include "kernels/cuda/tile_config.h"
#include "kernels/cuda/warp_rows.cuh"

namespace flashcore::cuda {

// Moves this CTA's tiles of K or of V, front to back.
template <TileConfig kConfig>
class TileLoader {
 public:
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;

  // `keys`: how many there are.
  __device__ TileLoader(const void* tensor, const TensorStrides& strides, const FusedWork& work, int keys,
                        const Mover& mover)
      : mover_(mover), keys_left_(keys - mover.row) {
    const int64_t element = work.batch * strides.batch + work.kv_head * strides.head +
                            (work.begin + mover.row) * strides.row + mover.chunk * Mover::Row::kElementsPerChunk;
    next_ = static_cast<const char*>(tensor) + element * Mover::Row::kElementBytes;
  }

  // Issues the copies of the next tile; keys past the end become zeros. `row_stride` is the tensor's.
  __device__ void Load(uint32_t shared, int64_t row_stride) {
    const uint32_t pass_bytes = static_cast<uint32_t>(row_stride) * (Mover::kRowsPerPass * Mover::Row::kElementBytes);
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
    keys_left_ -= kConfig.Keys();
  }

 private:
  static constexpr int kPasses = kConfig.Keys() / Mover::kRowsPerPass;
  static_assert(kConfig.Keys() % Mover::kRowsPerPass == 0);

  const Mover& mover_;
  const char* next_;  // This thread's first chunk of the next tile.
  int keys_left_;     // From this thread's first row on.
};

// Issues the copies of the tile's rows of Q; rows past the end become zeros.
template <TileConfig kConfig>
__device__ void LoadQuery(const FusedProblem& problem, const FusedWork& work,
                          const RowMover<kConfig.head_dim, kConfig.Threads()>& mover, uint32_t shared) {
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  const char* q = static_cast<const char*>(problem.q);
#pragma unroll
  for (int pass = 0; pass * Mover::kRowsPerPass < kConfig.Rows(); ++pass) {
    const int tile_row = pass * Mover::kRowsPerPass + mover.row;
    if (Mover::kRowsPerPass > kConfig.Rows() && tile_row >= kConfig.Rows()) break;
    const int row = work.first_row + tile_row;
    const PackedRow at = LocatePackedRow(problem, row);
    const int head = work.kv_head * problem.group + at.head_in_group;
    const int64_t element = work.batch * problem.q_strides.batch + head * problem.q_strides.head +
                            at.query * problem.q_strides.row + mover.chunk * Mover::Row::kElementsPerChunk;
#pragma unroll
    for (int segment = 0; segment < Mover::Row::kSegments; ++segment) {
      CopyAsync(shared + segment * kConfig.QuerySegmentBytes() +
                    static_cast<uint32_t>(pass * Mover::kRowsPerPass * Mover::Row::kSegmentBytes) +
                    mover.segment_shared,
                q + element * Mover::Row::kElementBytes + segment * Mover::Row::kSegmentBytes,
                row < problem.rows_per_unit && mover.ColumnValid(segment));
    }
  }
}

// Soft cap and masks, for the steps that need either. Not on the common path.
template <TileConfig kConfig, int kRowBlocks, int kKeyTiles>
__device__ void Shape(const FusedProblem& problem, int first_row, int first_key, int lane,
                      float (&scores)[kRowBlocks][kKeyTiles][4]) {
  const float exponent = problem.cap_exponent;
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = first_row + block * 16 + side * 8 + lane / 4;
      const FusedKeySpan visible = VisibleKeys(problem, Quotient(row, problem.by_group));
#pragma unroll
      for (int tile = 0; tile < kKeyTiles; ++tile) {
#pragma unroll
        for (int i = 2 * side; i < 2 * side + 2; ++i) {
          float& score = scores[block][tile][i];
          // tanh(x) = 1 - 2 / (2^(2 x log2 e) + 1): exact to float's absolute precision, and right at both infinities.
          if (exponent > 0.0F) {
            score = problem.cap_over_scale * (1.0F - __fdividef(2.0F, Exp2(score * exponent) + 1.0F));
          }
          const int key = first_key + tile * 8 + lane % 4 * 2 + i % 2;
          if (key < visible.begin || key >= visible.end) score = -INFINITY;
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

template <typename T, TileConfig kConfig>
__device__ void AttendTile(const FusedProblem& problem, int cta, unsigned char* shared_memory) {
  using Rows = WarpRows<T, kConfig>;
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  constexpr int kStages = kConfig.stages;
  constexpr uint32_t kQueryAt = 2 * kConfig.RingBytes() - kConfig.StagedQueryBytes();
  constexpr int kEarlyTiles = kConfig.EarlyTiles();
  static_assert(kStages >= 2 && kEarlyTiles >= 1);

  const FusedWork work = FindWork<kConfig.Rows()>(problem, cta);
  const uint32_t shared = Opaque(SharedAddress(shared_memory));
  const int thread = ThreadIndex();
  const int lane = thread % kWarpSize;
  const int row_group = thread / kWarpSize % kConfig.row_groups;
  const int key_group = thread / kWarpSize / kConfig.row_groups;
  // The work, once the main loop has begun.
  const auto same_work = [&] {
    return kConfig.RegistersScarce() ? FindWork<kConfig.Rows()>(problem, Opaque(cta)) : work;
  };
  const int tiles = work.end > work.begin ? (work.end - work.begin + kConfig.Keys() - 1) / kConfig.Keys() : 0;

  Rows rows(problem, lane);
  if (tiles > 0) {
    const Mover mover(thread, problem.head_dim);
    TileLoader<kConfig> key_loader(problem.k, problem.k_strides, work, work.end - work.begin, mover);
    TileLoader<kConfig> value_loader(problem.v, problem.v_strides, work, work.end - work.begin, mover);
    LoadQuery<kConfig>(problem, work, mover, shared + kQueryAt);
    const auto first_load = [&](int tile) {
      const uint32_t keys = shared + tile * kConfig.MatrixBytes();
      key_loader.Load(keys, problem.k_strides.row);
      if (tile > 0) value_loader.Load(keys + kConfig.RingBytes() - kConfig.MatrixBytes(), problem.v_strides.row);
      CommitCopies();
    };
#pragma unroll
    for (int tile = 0; tile < kEarlyTiles; ++tile) first_load(tile);
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

    const uint32_t group_offset = static_cast<uint32_t>(key_group * kConfig.keys_per_step * kConfig.RowBytes());
    const uint32_t keys = Opaque(shared + group_offset);
    const uint32_t values = keys + kConfig.RingBytes();
    constexpr uint32_t kLastStage = (kStages - 1) * kConfig.MatrixBytes();
    uint32_t stage = kLastStage;  // Of `tile`, in bytes.
    bool weighed = false;         // The weights of `tile` are there.
    // The plain steps, once the softmax has settled.
    int plain_begin = 0;
    int plain_end = 0;
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
        const int first_key = again.begin + key_group * kConfig.keys_per_step;
        const WarpSteps steps = WarpSteps::Of<kConfig>(problem, again, first_row, first_key);
        weighed = steps.Seen(next);
        if (weighed) {
          rows.Weigh(keys + next_stage, [&](typename Rows::Scores& scores) {
            if (!steps.Plain(next)) {
              Shape<kConfig>(problem, first_row, first_key + next * kConfig.Keys(), lane, scores);
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
  WriteTile<T, kConfig>(problem, same_work(), rows.softmax, rows.out, shared_memory);
}

// `Tile` holds its configuration as Tile::kConfig: nvcc 13.0 cannot launch kernels that take it as a template argument.
// A grid smaller than the batch's number of CTAs makes each CTA do its share of their work, longest first.
template <typename T, typename Tile, size_t kCapacity>
__global__ void __launch_bounds__(Tile::kConfig.Threads(), Tile::kConfig.min_ctas)
    FusedKernel(const __grid_constant__ FusedBatch<kCapacity> batch) {
  extern __shared__ __align__(128) unsigned char shared[];
  // One problem is known to be the first: its description is read at addresses that the compiler knows.
  const int ctas = batch.first_cta[kCapacity == kOneProblem ? 1 : batch.num_problems];
  for (int cta = static_cast<int>(blockIdx.x); cta < ctas; cta += static_cast<int>(gridDim.x)) {
    const int index = kCapacity == kOneProblem ? 0 : FindFusedProblem(batch, cta);
    const FusedProblem& problem = batch.problems[index];
    AttendTile<T, Tile::kConfig>(problem, cta - batch.first_cta[index], shared);
    // Every warp is done with shared memory: the next tile may have it.
    __syncthreads();
  }
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_
