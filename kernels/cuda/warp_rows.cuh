// One warp's rows in a fused kernel: their queries, and what has been summed so far.
//
//   S = Q K^T --mma--> C fragments --online softmax--> P, the same registers packed to 16 bits --mma with V--> O
//
// Ways to take keys:
//
//   Weigh, AddValues   one after the other, with the step's largest scores found in between: for steps that a mask
//                      crosses, and soft caps
//   Begin              the first step's weights, from origins that its first few keys give, in place of Weigh
//   Advance            the common way. Beside O += P V of one step come the scores and weights of the next, which are
//                      taken from origins that are there already; whether the weights fit is asked afterwards:
//
//                        mma   S(1)   O += P(0) V(0) | S(2)   O += P(1) V(1) | S(3) ...
//                        ex2             P(1)        |           P(2)        |
//
//                      A warp issues in order, so that the order of the source is the order of work: multiplications
//                      and exponentials alternate, and neither waits for the other.
//
//   AddStepScores, ...   for few keys: the scores of a block of kSteps steps, then the block's softmax, then its
//   values. AddStepValues        One search for maxima and one chain of latencies for all of the block's keys.
#ifndef FLASHCORE_KERNELS_CUDA_WARP_ROWS_CUH_
#define FLASHCORE_KERNELS_CUDA_WARP_ROWS_CUH_

#include <cstdint>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/online_softmax.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/shared_tile.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

template <typename T, TileConfig kConfig>
class WarpRows {
 public:
  static constexpr int kRowBlocks = kConfig.rows_per_warp / 16;
  static constexpr int kDepthBlocks = kConfig.head_dim / 16;
  static constexpr int kColumnTiles = kConfig.head_dim / 8;
  static constexpr int kKeyBlocks = kConfig.keys_per_step / 16;
  using KeyLanes = LaneOffset<kConfig.head_dim, MatrixOrder::kAcross>;
  using ValueLanes = LaneOffset<kConfig.head_dim, MatrixOrder::kDown>;
  // Of Q's depth blocks, those that stay in registers; the rest are read again for every step.
  static constexpr int kKeptBlocks = kDepthBlocks - kConfig.reread_segments * KeyLanes::kLoadsPerSegment;
  // C fragments of S for some blocks of 16 keys.
  template <int kBlocks>
  using ScoresOf = float[kRowBlocks][2 * kBlocks][4];
  using Scores = ScoresOf<kKeyBlocks>;
  // Of a block.
  static constexpr int kSteps = kConfig.stages;
  using BlockScores = ScoresOf<kSteps * kKeyBlocks>;

  __device__ WarpRows(const FusedProblem& problem, int lane) : softmax(problem.scale_log2), keys_(lane), values_(lane) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int column = 0; column < kColumnTiles; ++column) Clear(out[block][column]);
    }
  }

  // `shared`: the first of the warp's rows in the first segment.
  __device__ void ReadQuery(uint32_t shared) {
    query_shared_ = shared + values_.offset - values_.row * (ValueLanes::Row::kBytes - ValueLanes::Row::kSegmentBytes);
#pragma unroll
    for (int depth = 0; depth < kKeptBlocks; ++depth) {
#pragma unroll
      for (int block = 0; block < kRowBlocks; ++block) ReadQueryBlock(query_[block][depth], block, depth);
    }
  }

  // Makes the first step's weights as Advance does the next one's, from origins that its first keys give. False if they
  // do not fit: then they have to come from Weigh.
  __device__ bool Begin(uint32_t keys) {
    ScoresOf<kPassBlocks> scores[2];
    typename OnlineSoftmax<kRowBlocks>::RowValues added = {};
    ClearScores<kPassBlocks>(scores[0]);
#pragma unroll
    for (int depth = 0; depth < kDepthBlocks; ++depth) AddScores<kPassBlocks>(scores[0], 0, keys, 0, depth);
    if (!softmax.Begin(scores[0])) return false;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      if (pass + 1 < kPasses) ClearScores<kPassBlocks>(scores[(pass + 1) % 2]);
#pragma unroll
      for (int slot = 0; slot < kPassBlocks * kDepthBlocks; ++slot) {
        const int block = slot / kDepthBlocks;
        const int depth = slot % kDepthBlocks;
        if (pass + 1 < kPasses && slot % kPassBlocks == 0) {
          AddScores<kPassBlocks>(scores[(pass + 1) % 2], 0, keys, (pass + 1) * kPassBlocks, slot / kPassBlocks);
        }
#pragma unroll
        for (int piece = depth * kPieces / kDepthBlocks; piece < (depth + 1) * kPieces / kDepthBlocks; ++piece) {
          Exponentiate<kPassBlocks, true>(scores[pass % 2], block, piece);
        }
        if (depth == kDepthBlocks - 1) Pack<kPassBlocks>(scores[pass % 2], block, pass * kPassBlocks + block, added);
      }
    }
    return softmax.Accept(added);
  }

  // Makes a step's weights from its `keys`, moving the origins where needed. `shape(scores)` may mask.
  template <typename Shape>
  __device__ void Weigh(uint32_t keys, Shape&& shape) {
    Scores scores;
    ClearScores<kKeyBlocks>(scores);
#pragma unroll
    for (int depth = 0; depth < kDepthBlocks; ++depth) AddScores<kKeyBlocks>(scores, 0, keys, 0, depth);
    shape(scores);
    softmax.Admit(scores, out);
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) {
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) Exponentiate<kKeyBlocks, false>(scores, block, piece);
      Pack<kKeyBlocks>(scores, block, block, softmax.exact_sums);
    }
  }

  // Takes the weights' step, whose values are at `values`, into O and the sums.
  __device__ void AddValues(uint32_t values) {
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) {
#pragma unroll
      for (int depth = 0; depth < kDepthBlocks; ++depth) AddValueBlock(values, block, block, depth);
    }
  }

  // AddValues, and the weights of the next step; `load()` beside them. False if the weights do not fit: then they have
  // to come from Weigh. Only once the softmax has settled.
  template <typename Load>
  __device__ bool Advance(uint32_t values, uint32_t next_keys, Load&& load) {
    if constexpr (kReadAhead > 0) return AdvanceReadingAhead(values, next_keys, load);
    // Scores are made in passes, of which two are in registers at a time.
    ScoresOf<kPassBlocks> scores[2];
    typename OnlineSoftmax<kRowBlocks>::RowValues added = {};
    ClearScores<kPassBlocks>(scores[0]);
#pragma unroll
    for (int depth = 0; depth < kDepthBlocks; ++depth) {
      AddScores<kPassBlocks>(scores[0], 0, next_keys, 0, depth);
      if (depth == 0) load();
    }
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      if (pass + 1 < kPasses) ClearScores<kPassBlocks>(scores[(pass + 1) % 2]);
#pragma unroll
      for (int slot = 0; slot < kPassBlocks * kDepthBlocks; ++slot) {
        const int block = slot / kDepthBlocks;
        const int depth = slot % kDepthBlocks;
        if (pass + 1 < kPasses && slot % kPassBlocks == 0) {
          AddScores<kPassBlocks>(scores[(pass + 1) % 2], 0, next_keys, (pass + 1) * kPassBlocks, slot / kPassBlocks);
        }
        AddValueBlock(values, pass * kPassBlocks + block, pass * kPassBlocks + block, depth);
#pragma unroll
        for (int piece = depth * kPieces / kDepthBlocks; piece < (depth + 1) * kPieces / kDepthBlocks; ++piece) {
          Exponentiate<kPassBlocks, true>(scores[pass % 2], block, piece);
        }
        // After the last use of the weights that these replace.
        if (depth == kDepthBlocks - 1) Pack<kPassBlocks>(scores[pass % 2], block, pass * kPassBlocks + block, added);
      }
    }
    return softmax.Accept(added);
  }

  __device__ static void ClearBlock(BlockScores& scores) { ClearScores<kSteps * kKeyBlocks>(scores); }

  // The scores of the block's step `step`.
  __device__ void AddStepScores(BlockScores& scores, uint32_t keys, int step) const {
#pragma unroll
    for (int depth = 0; depth < kDepthBlocks; ++depth) AddScores<kKeyBlocks>(scores, step * kKeyBlocks, keys, 0, depth);
  }

  // Once all scores are there, moves the origins where needed and makes the first step's weights.
  __device__ void WeighBlock(BlockScores& scores) {
    softmax.Admit(scores, out);
#pragma unroll
    for (int block = 0; block < kKeyBlocks; ++block) WeighKeyBlock(scores, block);
  }

  // Takes the block's step `step`, whose values are at `values`, into O and the sums; the next one's weights beside it.
  __device__ void AddStepValues(BlockScores& scores, uint32_t values, int step) {
#pragma unroll
    for (int block = step * kKeyBlocks; block < (step + 1) * kKeyBlocks; ++block) {
#pragma unroll
      for (int depth = 0; depth < kDepthBlocks; ++depth) {
        AddValueBlock(values, block % kKeyBlocks, block % kWeightBlocks, depth);
        if (step + 1 == kSteps) continue;
#pragma unroll
        for (int piece = depth * kPieces / kDepthBlocks; piece < (depth + 1) * kPieces / kDepthBlocks; ++piece) {
          Exponentiate<kSteps * kKeyBlocks, false>(scores, block + kKeyBlocks, piece);
        }
      }
      if (step + 1 == kSteps) continue;
      Pack<kSteps * kKeyBlocks>(scores, block + kKeyBlocks, (block + kKeyBlocks) % kWeightBlocks, softmax.exact_sums);
    }
  }

  OnlineSoftmax<kRowBlocks> softmax;
  float out[kRowBlocks][kColumnTiles][4];

 private:
  // Queries in registers meet a few keys after the other; those that are not are read once for all of a step's.
  static constexpr int kPassBlocks = kConfig.reread_segments > 0 ? kKeyBlocks
                                                                 : (kRowBlocks == 1 && kKeyBlocks % 2 == 0 ? 2 : 1);
  static constexpr int kPasses = kKeyBlocks / kPassBlocks;
  // A key block's exponentials come in pieces of two, each of one row, in neighbouring columns.
  static constexpr int kPieces = kRowBlocks * 4;

  // Products between a read of shared memory and the one that takes it, in Advance. Only the largest head_dims, with 16
  // rows, have registers for it; there it pays.
  static constexpr int kReadAhead = kConfig.key_groups == 1 && kConfig.head_dim > 128 ? 2 : 0;

  // What AdvanceReadingAhead multiplies, in order: 16 keys by 16 columns of K or of V a time. The first pass's scores;
  // then values, between them the next pass's scores; then the last pass's values.
  struct Product {
    bool of_values;
    int block;  // Of the step's keys.
    int depth;
  };
  static constexpr int kPassProducts = kPassBlocks * kDepthBlocks;
  static constexpr int kProducts = 2 * kPasses * kPassProducts;
  __device__ static constexpr Product ProductOf(int i) {
    if (i < kPassProducts) return {false, i % kPassBlocks, i / kPassBlocks};
    const int pass = (i - kPassProducts) / (2 * kPassProducts);
    const int in_pass = (i - kPassProducts) % (2 * kPassProducts);
    const bool last = pass + 1 == kPasses;
    const int turn = in_pass / (2 * kPassBlocks);
    const int in_turn = in_pass % (2 * kPassBlocks);
    if (!last && in_turn < kPassBlocks) return {false, (pass + 1) * kPassBlocks + in_turn, turn};
    const int value = last ? in_pass : turn * kPassBlocks + in_turn - kPassBlocks;
    return {true, pass * kPassBlocks + value / kDepthBlocks, value % kDepthBlocks};
  }

  // Advance, with every read of shared memory issued kReadAhead products before its own.
  template <typename Load>
  __device__ bool AdvanceReadingAhead(uint32_t values, uint32_t next_keys, Load&& load) {
    static_assert(kReadAhead <= kPassBlocks && kDepthBlocks % 2 == 0, "two depth blocks of Q are held");
    ScoresOf<kPassBlocks> scores[2];
    typename OnlineSoftmax<kRowBlocks>::RowValues added = {};
    uint32_t query[2][kRowBlocks][4];
    uint32_t matrices[kReadAhead + 1][4];
    const auto read = [&](int i) {
      const Product product = ProductOf(i);
      uint32_t(&to)[4] = matrices[i % (kReadAhead + 1)];
      if (product.of_values) {
        LoadMatricesTransposed(to, values_.At(values, product.block, product.depth));
      } else {
        if (product.block % kPassBlocks == 0) TakeQuery(query[product.depth % 2], product.depth);
        LoadMatrices(to, keys_.At(next_keys, product.block, product.depth));
      }
    };
    ClearScores<kPassBlocks>(scores[0]);
#pragma unroll
    for (int i = 0; i < kReadAhead; ++i) read(i);
#pragma unroll
    for (int i = 0; i < kProducts; ++i) {
      if (i + kReadAhead < kProducts) read(i + kReadAhead);
      const uint32_t(&taken)[4] = matrices[i % (kReadAhead + 1)];
      const Product product = ProductOf(i);
      const int pass = product.block / kPassBlocks;
      const int block = product.block % kPassBlocks;
      if (!product.of_values) {
        if (block == 0 && product.depth == 0 && pass > 0) ClearScores<kPassBlocks>(scores[pass % 2]);
        AddProducts(scores[pass % 2], block, query[product.depth % 2], taken);
        if (i == kPassBlocks - 1) load();
        continue;
      }
      AddValueProducts(product.block, product.depth, taken);
#pragma unroll
      for (int piece = product.depth * kPieces / kDepthBlocks; piece < (product.depth + 1) * kPieces / kDepthBlocks;
           ++piece) {
        Exponentiate<kPassBlocks, true>(scores[pass % 2], block, piece);
      }
      // After the last use of the weights that these replace.
      if (product.depth == kDepthBlocks - 1) Pack<kPassBlocks>(scores[pass % 2], block, product.block, added);
    }
    return softmax.Accept(added);
  }

  // Weights are kept for a step, and for two where the next step's are made beside it.
  static constexpr int kWeightBlocks = kConfig.key_groups > 1 ? 2 * kKeyBlocks : kKeyBlocks;

  __device__ void ReadQueryBlock(uint32_t (&query)[4], int block, int depth) const {
    LoadMatrices(query, (query_shared_ ^ static_cast<uint32_t>(depth % KeyLanes::kLoadsPerSegment * 2 * kVectorBytes)) +
                            static_cast<uint32_t>(depth / KeyLanes::kLoadsPerSegment * kConfig.QuerySegmentBytes() +
                                                  block * 16 * KeyLanes::Row::kSegmentBytes));
  }

  __device__ static void Clear(float (&fragment)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) fragment[i] = 0.0F;
  }

  template <int kBlocks>
  __device__ static void ClearScores(ScoresOf<kBlocks>& scores) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int tile = 0; tile < 2 * kBlocks; ++tile) Clear(scores[block][tile]);
    }
  }

  // One depth block's share of the scores of kBlocks blocks of keys, from block `first_block` of `keys` on, into those
  // of `scores` from block `to` on.
  template <int kBlocks, int kAllBlocks>
  __device__ void AddScores(float (&scores)[kRowBlocks][kAllBlocks][4], int to, uint32_t keys, int first_block,
                            int depth) const {
    uint32_t query[kRowBlocks][4];
    TakeQuery(query, depth);
#pragma unroll
    for (int key_block = 0; key_block < kBlocks; ++key_block) {
      uint32_t k[4];
      LoadMatrices(k, keys_.At(keys, first_block + key_block, depth));
      AddProducts(scores, to + key_block, query, k);
    }
  }

  __device__ void TakeQuery(uint32_t (&query)[kRowBlocks][4], int depth) const {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      if (depth < kKeptBlocks) {
#pragma unroll
        for (int i = 0; i < 4; ++i) query[block][i] = query_[block][depth][i];
      } else {
        ReadQueryBlock(query[block], block, depth);
      }
    }
  }

  // Adds what 16 columns of Q and of 16 keys, `k`, contribute to the scores of block `to`.
  template <int kKeyTiles>
  __device__ static void AddProducts(float (&scores)[kRowBlocks][kKeyTiles][4], int to,
                                     const uint32_t (&query)[kRowBlocks][4], const uint32_t (&k)[4]) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      MultiplyAccumulate<T>(scores[block][2 * to], query[block], k[0], k[1]);
      MultiplyAccumulate<T>(scores[block][2 * to + 1], query[block], k[2], k[3]);
    }
  }

  // Makes weights of two scores, in place.
  template <int kBlocks, bool kSettled>
  __device__ void Exponentiate(ScoresOf<kBlocks>& scores, int key_block, int piece) const {
    const int block = piece / 4;
    const int half = piece / 2 % 2;
    const int side = piece % 2;
    const float offset = kSettled ? -softmax.origin[block][side] : -OriginOrZero(softmax.origin[block][side]);
    float(&score)[4] = scores[block][2 * key_block + half];
    score[2 * side] = Exp2(fmaf(score[2 * side], softmax.scale_log2, offset));
    score[2 * side + 1] = Exp2(fmaf(score[2 * side + 1], softmax.scale_log2, offset));
  }

  // Adds up the weights of a block of keys, rounds them and keeps them as the step's block `to`.
  template <int kBlocks>
  __device__ void Pack(const ScoresOf<kBlocks>& weights, int key_block, int to,
                       typename OnlineSoftmax<kRowBlocks>::RowValues& added) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float(&tile)[4] = weights[block][2 * key_block + i / 2];
        weights_[to][block][i] = cuda::Pack<T>(tile[i % 2 * 2], tile[i % 2 * 2 + 1]);
      }
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const float(&left)[4] = weights[block][2 * key_block];
        const float(&right)[4] = weights[block][2 * key_block + 1];
        added[block][side] += (left[2 * side] + left[2 * side + 1]) + (right[2 * side] + right[2 * side + 1]);
      }
    }
  }

  __device__ void WeighKeyBlock(BlockScores& scores, int block) {
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) Exponentiate<kSteps * kKeyBlocks, false>(scores, block, piece);
    Pack<kSteps * kKeyBlocks>(scores, block, block, softmax.exact_sums);
  }

  // One load of V and what it is multiplied with, `weights` the block of these.
  __device__ void AddValueBlock(uint32_t values, int key_block, int weights, int depth) {
    uint32_t v[4];
    LoadMatricesTransposed(v, values_.At(values, key_block, depth));
    AddValueProducts(weights, depth, v);
  }

  // Adds 16 columns of 16 values, `v`, to O; with the last of a key block, its weights are added up.
  __device__ void AddValueProducts(int weights, int depth, const uint32_t (&v)[4]) {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      MultiplyAccumulate<T>(out[block][2 * depth], weights_[weights][block], v[0], v[1]);
      MultiplyAccumulate<T>(out[block][2 * depth + 1], weights_[weights][block], v[2], v[3]);
    }
    if (depth < kDepthBlocks - 1) return;
    const uint32_t ones = cuda::Pack<T>(1.0F, 1.0F);
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      MultiplyAccumulate<T>(softmax.sums[block], weights_[weights][block], ones, ones);
    }
  }

  KeyLanes keys_;
  ValueLanes values_;
  uint32_t query_shared_;
  uint32_t query_[kRowBlocks][kDepthBlocks][4];     // The kept ones.
  uint32_t weights_[kWeightBlocks][kRowBlocks][4];  // A fragments of P.
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_WARP_ROWS_CUH_
