// What the host tells a fused kernel about a batch: descriptor.h's scheme, with how each problem is cut up.
//
//   unit     one head of K and V of one batch entry, with the `group` query heads that read it
//   row      a unit's rows are its queries, packed: row r is query r / group of head (kv_head * group + r % group),
//            so that a few queries of many heads fill a tile, and all rows of a tile share K and V
//   tile     TileConfig::Rows() rows of a unit; as many as `splits` CTAs share one tile's keys, but for `whole_tiles`
//            that come before all others and have a CTA each
//   section  units whose K and V stay in L2 while their tiles run; a section's tiles run longest first, then the next
//            section's
//
//   round    CTAs that the device, or a part of it, takes side by side, the longest first; then those of the next one,
//            backwards, so that who shares a multiprocessor with a long one, or comes after it, is a short one
//
//   CTA    0  1  2  ...  whole_tiles                      tile_order.h: from a CTA to its place
//   tile   0  1  2  ...  |  w     w     w     w+1   ...
//   split                |  0     1     2     0     ...
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_BATCH_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_BATCH_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/descriptor.h"
#include "kernels/cuda/divisor.h"

namespace flashcore::cuda {

// A row's weights may grow to two to the power of this before its origin is moved (online_softmax.cuh).
inline constexpr float kHeadroomLog2 = 8.0F;

// Bound on q_len, kv_len, keys_before and keys_after, so that sums of three fit in 32 bits.
inline constexpr int32_t kMaxFusedLength = 1 << 29;

// In chunks of 16 bytes, where every row starts: products with indices take one instruction.
struct FusedStrides {
  int32_t batch;
  int32_t head;
  int32_t row;
};

struct FusedProblem {
  const void* q;
  const void* k;
  const void* v;
  void* o;
  float* lse;          // nullptr: not wanted.
  float* partials;     // splits > 1: for each tile that is split, in order, each split's rows of O and sums.
  uint32_t* arrivals;  // splits > 1: for each tile that is split, 0 between launches.
  FusedStrides q_strides;
  FusedStrides k_strides;
  FusedStrides v_strides;
  FusedStrides o_strides;
  int32_t head_dim;
  int32_t q_len;
  int32_t kv_len;
  int32_t keys_before;  // As in ProblemDescriptor, bounded by kMaxFusedLength.
  int32_t keys_after;
  int32_t num_kv_heads;
  int32_t group;          // Query heads for each head of K and V.
  int32_t units;          // batch * num_kv_heads.
  int32_t rows_per_unit;  // q_len * group.
  int32_t tiles_per_unit;
  int32_t units_per_section;
  int32_t splits;
  int32_t keys_per_split;  // A multiple of TileConfig::Keys().
  int32_t whole_tiles;     // Tiles that come first and are not split; splits == 1: none is, whatever this says.
  Divisor by_group;
  Divisor by_kv_heads;
  Divisor by_splits;
  Divisor by_section_units;  // units_per_section.
  Divisor by_section_tiles;  // units_per_section * tiles_per_unit.
  // With x = Q K^T, divided out here because the kernels have no register to spare for it:
  float scale_log2;      // sm_scale * log2(e): a weight is 2^(x * scale_log2 - ...).
  float cap_exponent;    // 2 * scale_log2 / logits_soft_cap; 0: no cap.
  float cap_over_scale;  // logits_soft_cap / sm_scale.
};

// A launch costs more the larger its parameters are, and most launches have one problem.
inline constexpr size_t kOneProblem = 1;

// NOLINTBEGIN(modernize-avoid-c-arrays): std::array's members are host functions to nvcc.
template <size_t kCapacity>
struct FusedBatch {
  int32_t num_problems;
  int32_t round_ctas;
  Divisor by_round_ctas;
  int32_t first_cta[kCapacity + 1];  // As BatchDescriptor::first_tile.
  FusedProblem problems[kCapacity];
};
// NOLINTEND(modernize-avoid-c-arrays)

static_assert(sizeof(FusedBatch<kFullBatch>) <= kMaxKernelParameterBytes);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_BATCH_H_
