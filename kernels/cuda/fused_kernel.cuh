// Attention in one kernel, on the tensor cores: O = softmax(mask(Q K^T)) V for one tile of rows in each CTA.
//
//   global --cp.async--> shared, `stages` tiles of K and V --ldmatrix--> B fragments
//   Q      --through shared, once--> A fragments, kept
//   S = Q K^T --mma--> C fragments --online softmax--> P, the same registers packed to 16 bits --mma with V--> O
//
// With TileConfig::overlap a warp's order of work is
//
//   S(0)  | softmax(0) beside S(1), O += P(0) V(0) | softmax(1) beside S(2), O += P(1) V(1) | ...
//
// so that the tensor cores have the next step's scores to compute while exponentials are taken.
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

namespace flashcore::cuda {

// Moves this CTA's tiles of K and V, front to back, one Load each.
template <TileConfig kConfig>
class KeyValueLoader {
 public:
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  static constexpr int kPasses = kConfig.Keys() / Mover::kRowsPerPass;
  static_assert(kConfig.Keys() % Mover::kRowsPerPass == 0);

  __device__ KeyValueLoader(const FusedProblem& problem, const FusedWork& work, const Mover& mover)
      : mover_(mover),
        k_(FirstRow(problem.k, problem.k_strides, work)),
        v_(FirstRow(problem.v, problem.v_strides, work)),
        k_row_bytes_(RowBytes(problem.k_strides)),
        v_row_bytes_(RowBytes(problem.v_strides)),
        k_offset_(ThreadOffset(k_row_bytes_, mover)),
        v_offset_(ThreadOffset(v_row_bytes_, mover)),
        keys_left_(work.end - work.begin) {}

  // Issues the copies of the next tile; keys past the end become zeros.
  __device__ void Load(uint32_t stage) {
    Copy(stage, k_, k_row_bytes_, k_offset_);
    Copy(stage + kConfig.MatrixBytes(), v_, v_row_bytes_, v_offset_);
    keys_left_ -= kConfig.Keys();
  }

 private:
  __device__ static const char* FirstRow(const void* tensor, const TensorStrides& strides, const FusedWork& work) {
    const int64_t element = work.batch * strides.batch + work.kv_head * strides.head + work.begin * strides.row;
    return static_cast<const char*>(tensor) + element * Mover::Row::kElementBytes;
  }
  __device__ static uint32_t RowBytes(const TensorStrides& strides) {
    return static_cast<uint32_t>(strides.row) * Mover::Row::kElementBytes;
  }
  __device__ static uint32_t ThreadOffset(uint32_t row_bytes, const Mover& mover) {
    return static_cast<uint32_t>(mover.row) * row_bytes + static_cast<uint32_t>(mover.chunk) * kVectorBytes;
  }

  __device__ void Copy(uint32_t matrix, const char*& tile, uint32_t row_bytes, uint32_t thread_offset) {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const bool key_valid = mover_.row < keys_left_ - pass * Mover::kRowsPerPass;
#pragma unroll
      for (int segment = 0; segment < Mover::Row::kSegments; ++segment) {
        CopyAsync(matrix + mover_.SharedOffset(pass, segment),
                  tile + thread_offset + segment * Mover::Row::kSegmentBytes, key_valid && mover_.ColumnValid(segment));
      }
      tile += static_cast<uint64_t>(row_bytes) * Mover::kRowsPerPass;
    }
  }

  Mover mover_;
  // The same in every thread: the next tile, and what is left of the keys from there on.
  const char* k_;
  const char* v_;
  uint32_t k_row_bytes_;
  uint32_t v_row_bytes_;
  uint32_t k_offset_;  // From the tile to this thread's first chunk.
  uint32_t v_offset_;
  int keys_left_;
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

// One warp's rows: their queries, their scores of a step, and what has been summed so far.
template <typename T, TileConfig kConfig>
class WarpRows {
 public:
  static constexpr int kRowBlocks = kConfig.rows_per_warp / 16;
  static constexpr int kDepthBlocks = kConfig.head_dim / 16;
  static constexpr int kColumnTiles = kConfig.head_dim / 8;
  static constexpr int kKeyBlocks = kConfig.keys_per_step / 16;
  static constexpr int kKeyTiles = kConfig.keys_per_step / 8;
  using Lanes = LaneOffset<kConfig.head_dim, MatrixOrder::kAcross>;
  // Of Q's depth blocks, those that stay in registers; the rest are read again for every step.
  static constexpr int kKeptBlocks = kDepthBlocks - kConfig.reread_segments * Lanes::kLoadsPerSegment;
  using Scores = float[kRowBlocks][kKeyTiles][4];
  using Weights = uint32_t[kRowBlocks][4];  // A fragments of P.

  __device__ WarpRows(const FusedProblem& problem, int lane)
      : softmax(problem.scale_log2, problem.headroom), keys_(lane), values_(lane) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int column = 0; column < kColumnTiles; ++column) Clear(out[block][column]);
    }
  }

  // `shared`: the first of the warp's rows in the first segment.
  __device__ void ReadQuery(uint32_t shared) {
    query_shared_ = shared + keys_.offset - keys_.row * (Lanes::Row::kBytes - Lanes::Row::kSegmentBytes);
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int depth = 0; depth < kKeptBlocks; ++depth) ReadQueryBlock(query_[block][depth], block, depth);
    }
  }

  __device__ void ComputeScores(Scores& scores, uint32_t keys) const {
    ClearScores(scores);
#pragma unroll
    for (int depth = 0; depth < kDepthBlocks; ++depth) {
#pragma unroll
      for (int block = 0; block < kKeyBlocks; ++block) AddScores(scores, keys, depth, block);
    }
  }

  // Takes a step's scores, which Admit has seen, and its values into the sums.
  __device__ void Accumulate(const Scores& scores, uint32_t values) {
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) {
      Weights weights;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) Weigh(scores, block, piece, weights);
#pragma unroll
      for (int depth = 0; depth < kDepthBlocks; ++depth) AddValues(weights, values, block, depth);
    }
  }

  // Both at once: `next` becomes the next step's scores, with their peaks. A warp issues in order, so the order here is
  // the order of work: multiplications and exponentials alternate, and neither waits for the other.
  __device__ void AccumulateBeside(const Scores& scores, uint32_t values, Scores& next, uint32_t next_keys) {
    // Of the next scores, half beside the first block's exponentials, and the rest beside the values of all but the
    // last.
    constexpr int kScoreGroups = kDepthBlocks * kKeyBlocks;
    constexpr int kFirstGroups = kKeyBlocks == 1 ? kScoreGroups : kScoreGroups / 2;
    ClearScores(next);
    Weights weights[kKeyBlocks];
#pragma unroll
    for (int group = 0; group < kFirstGroups; ++group) {
      AddScores(next, next_keys, group / kKeyBlocks, group % kKeyBlocks);
#pragma unroll
      for (int piece = group * kPieces / kFirstGroups; piece < (group + 1) * kPieces / kFirstGroups; ++piece) {
        Weigh(scores, 0, piece, weights[0]);
      }
    }
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) {
      constexpr int kLater = kKeyBlocks == 1 ? 1 : (kKeyBlocks - 1) * kDepthBlocks;
#pragma unroll
      for (int depth = 0; depth < kDepthBlocks; ++depth) {
        AddValues(weights[block], values, block, depth);
        if (block + 1 < kKeyBlocks) {
#pragma unroll
          for (int piece = depth * kPieces / kDepthBlocks; piece < (depth + 1) * kPieces / kDepthBlocks; ++piece) {
            Weigh(scores, block + 1, piece, weights[block + 1]);
          }
          const int slot = block * kDepthBlocks + depth;
          constexpr int kRest = kScoreGroups - kFirstGroups;
#pragma unroll
          for (int group = kFirstGroups + slot * kRest / kLater; group < kFirstGroups + (slot + 1) * kRest / kLater;
               ++group) {
            AddScores(next, next_keys, group / kKeyBlocks, group % kKeyBlocks);
          }
        }
      }
    }
    softmax.FindPeaks(next);
  }

  OnlineSoftmax<kRowBlocks> softmax;
  float out[kRowBlocks][kColumnTiles][4];

 private:
  __device__ void ReadQueryBlock(uint32_t (&query)[4], int block, int depth) const {
    uint32_t matrix[4];
    LoadMatrices(matrix, (query_shared_ ^ static_cast<uint32_t>(depth % Lanes::kLoadsPerSegment * 2 * kVectorBytes)) +
                             static_cast<uint32_t>(depth / Lanes::kLoadsPerSegment * kConfig.QuerySegmentBytes() +
                                                   block * 16 * Lanes::Row::kSegmentBytes));
    query[0] = matrix[0];
    query[1] = matrix[2];
    query[2] = matrix[1];
    query[3] = matrix[3];
  }

  __device__ static void Clear(float (&fragment)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) fragment[i] = 0.0F;
  }

  __device__ static void ClearScores(Scores& scores) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int tile = 0; tile < kKeyTiles; ++tile) Clear(scores[block][tile]);
    }
  }

  // One load of K and what it is multiplied with.
  __device__ void AddScores(Scores& scores, uint32_t keys, int depth, int key_block) const {
    uint32_t k[4];
    LoadMatrices(k, keys_.At(keys, key_block, depth));
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      uint32_t query[4];
      if (depth < kKeptBlocks) {
#pragma unroll
        for (int i = 0; i < 4; ++i) query[i] = query_[block][depth][i];
      } else {
        ReadQueryBlock(query, block, depth);
      }
      MultiplyAccumulate<T>(scores[block][2 * key_block], query, k[0], k[1]);
      MultiplyAccumulate<T>(scores[block][2 * key_block + 1], query, k[2], k[3]);
    }
  }

  // A key block's weights come in pieces of two, each of one row, in neighbouring columns.
  static constexpr int kPieces = kRowBlocks * 4;

  __device__ void Weigh(const Scores& scores, int key_block, int piece, Weights& weights) {
    const int block = piece / 4;
    const int half = piece / 2 % 2;
    const int side = piece % 2;
    const float offset = softmax.Offset(block, side);
    const float(&score)[4] = scores[block][2 * key_block + half];
    const float low = Exp2(fmaf(score[2 * side], softmax.scale_log2, offset));
    const float high = Exp2(fmaf(score[2 * side + 1], softmax.scale_log2, offset));
    softmax.exact_sums[block][side] += low + high;
    weights[block][2 * half + side] = Pack<T>(low, high);
  }

  // With the last values of a key block, its weights are added up.
  __device__ void AddSums(const Weights& weights) {
    const uint32_t ones = Pack<T>(1.0F, 1.0F);
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      MultiplyAccumulate<T>(softmax.sums[block], weights[block], ones, ones);
    }
  }

  // One load of V and what it is multiplied with.
  __device__ void AddValues(const Weights& weights, uint32_t values, int key_block, int depth) {
    uint32_t v[4];
    LoadMatricesTransposed(v, values_.At(values, key_block, depth));
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      MultiplyAccumulate<T>(out[block][2 * depth], weights[block], v[0], v[1]);
      MultiplyAccumulate<T>(out[block][2 * depth + 1], weights[block], v[2], v[3]);
    }
    if (depth == kDepthBlocks - 1) AddSums(weights);
  }

  Lanes keys_;
  LaneOffset<kConfig.head_dim, MatrixOrder::kDown> values_;
  uint32_t query_shared_;
  uint32_t query_[kRowBlocks][kDepthBlocks][4];  // The kept ones.
};

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
      const FusedKeySpan visible = VisibleKeys(problem, Quotient(row, problem.group));
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

template <typename T, TileConfig kConfig>
__device__ void AttendTile(const FusedProblem& problem, int cta, unsigned char* shared_memory) {
  using Rows = WarpRows<T, kConfig>;
  using Mover = RowMover<kConfig.head_dim, kConfig.Threads()>;
  constexpr int kSteps = kConfig.steps_per_tile;
  constexpr int kStages = kConfig.stages;
  constexpr uint32_t kStepBytes = kConfig.keys_per_step * kConfig.RowBytes();
  constexpr uint32_t kQueryAt = kStages * kConfig.StageBytes() - kConfig.StagedQueryBytes();
  constexpr int kEarlyTiles = kConfig.EarlyTiles();
  static_assert(kEarlyTiles >= 1);

  const FusedWork work = FindWork<kConfig.Rows()>(problem, cta);
  const uint32_t shared = SharedAddress(shared_memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpSize;
  const int row_group = thread / kWarpSize % kConfig.row_groups;
  const int key_group = thread / kWarpSize / kConfig.row_groups;
  const int first_row = work.first_row + row_group * kConfig.rows_per_warp;
  const int tiles = work.end > work.begin ? (work.end - work.begin + kConfig.Keys() - 1) / kConfig.Keys() : 0;

  Rows rows(problem, lane);
  if (tiles > 0) {
    const Mover mover(thread, problem.head_dim);
    KeyValueLoader<kConfig> loader(problem, work, mover);
    LoadQuery<kConfig>(problem, work, mover, shared + kQueryAt);
    CommitCopies();
#pragma unroll
    for (int stage = 0; stage < kEarlyTiles; ++stage) {
      if (stage < tiles) loader.Load(shared + stage * kConfig.StageBytes());
      CommitCopies();
    }
    // Q has arrived, first this thread's part and then everybody's.
    WaitForCopies<kEarlyTiles>();
    __syncthreads();
    rows.ReadQuery(shared + kQueryAt + row_group * kConfig.rows_per_warp * Mover::Row::kSegmentBytes);
    if constexpr (kEarlyTiles < kStages - 1) {
      // Every warp has read Q: its stages are free.
      __syncthreads();
#pragma unroll
      for (int stage = kEarlyTiles; stage < kStages - 1; ++stage) {
        if (stage < tiles) loader.Load(shared + stage * kConfig.StageBytes());
        CommitCopies();
      }
    }

    const int group_key = work.begin + key_group * kConfig.KeysPerGroup();
    const uint32_t group_offset = key_group * kConfig.KeysPerGroup() * kConfig.RowBytes();
    const bool always_shape = problem.cap_exponent > 0.0F;
    const auto shape_and_admit = [&](typename Rows::Scores& scores, int tile, int step) {
      const int key = group_key + tile * kConfig.Keys() + step * kConfig.keys_per_step;
      if (always_shape || key < work.full_begin || key + kConfig.keys_per_step > min(work.full_end, work.end)) {
        Shape<kConfig>(problem, first_row, key, lane, scores);
        rows.softmax.FindPeaks(scores);
      }
      rows.softmax.Admit(rows.out);
    };
    // Issues the tile that goes where the tile before `tile` was.
    int free_stage = kStages - 1;
    const auto load_ahead = [&](int tile) {
      if (tile + kStages - 1 < tiles) loader.Load(shared + free_stage * kConfig.StageBytes());
      CommitCopies();
      free_stage = free_stage + 1 == kStages ? 0 : free_stage + 1;
    };

    uint32_t stage = shared + group_offset;
    const uint32_t last_stage = stage + (kStages - 1) * kConfig.StageBytes();
    const auto following = [&](uint32_t at) {
      return at == last_stage ? shared + group_offset : at + kConfig.StageBytes();
    };
    if constexpr (kConfig.overlap) {
      typename Rows::Scores scores[2];
      // The first tile has arrived, first this thread's part and then everybody's.
      WaitForCopies<kStages - 2>();
      __syncthreads();
      rows.ComputeScores(scores[0], stage);
      rows.softmax.FindPeaks(scores[0]);
      shape_and_admit(scores[0], 0, 0);
      for (int tile = 0; tile < tiles; ++tile) {
        const uint32_t next_stage = following(stage);
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          const uint32_t values = stage + kConfig.MatrixBytes() + step * kStepBytes;
          if (step + 1 < kSteps) {
            rows.AccumulateBeside(scores[step % 2], values, scores[(step + 1) % 2], stage + (step + 1) * kStepBytes);
            shape_and_admit(scores[(step + 1) % 2], tile, step + 1);
          } else if (tile + 1 < tiles) {
            // The next tile has arrived, and every warp is done with the one before this.
            WaitForCopies<kStages - 3>();
            __syncthreads();
            load_ahead(tile);
            rows.AccumulateBeside(scores[step % 2], values, scores[(step + 1) % 2], next_stage);
            shape_and_admit(scores[(step + 1) % 2], tile + 1, 0);
            if constexpr (kSteps % 2 == 1) memcpy(scores[0], scores[1], sizeof(scores[0]));
          } else {
            rows.Accumulate(scores[step % 2], values);
          }
        }
        stage = next_stage;
      }
    } else {
      typename Rows::Scores scores;
      for (int tile = 0; tile < tiles; ++tile) {
        // This tile has arrived, and every warp is done with the one before.
        WaitForCopies<kStages - 2>();
        __syncthreads();
        load_ahead(tile);
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          rows.ComputeScores(scores, stage + step * kStepBytes);
          rows.softmax.FindPeaks(scores);
          shape_and_admit(scores, tile, step);
          rows.Accumulate(scores, stage + kConfig.MatrixBytes() + step * kStepBytes);
        }
        stage = following(stage);
      }
    }
  }
  // Found again rather than kept through the main loop, which has no register to spare.
  const FusedWork written = FindWork<kConfig.Rows()>(problem, Opaque(cta));
  WriteTile<T, kConfig>(problem, written, rows.softmax, rows.out, shared_memory);
}

// `Tile` holds its configuration as Tile::kConfig: nvcc 13.0 cannot launch kernels that take it as a template argument.
// A grid smaller than the batch's number of CTAs makes each CTA do its share of their work, longest first.
template <typename T, typename Tile, size_t kCapacity>
__global__ void __launch_bounds__(Tile::kConfig.Threads(), Tile::kConfig.min_ctas)
    FusedKernel(const __grid_constant__ FusedBatch<kCapacity> batch) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int ctas = batch.first_cta[batch.num_problems];
  for (int cta = static_cast<int>(blockIdx.x); cta < ctas; cta += static_cast<int>(gridDim.x)) {
    const int index = FindFusedProblem(batch, cta);
    const FusedProblem& problem = batch.problems[index];
    AttendTile<T, Tile::kConfig>(problem, cta - batch.first_cta[index], shared);
    // Every warp is done with shared memory: the next tile may have it.
    __syncthreads();
  }
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_
