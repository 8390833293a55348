// What the fused kernels' plan was tuned to: for classes of problems, what a search found to be faster than what the
// model of fused_cost.h plans (bench/tune, which writes the table). Constant data; no device is needed, or asked.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_TUNING_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_TUNING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cuda/fused_tiles.h"

namespace flashcore::cuda {

// Into how many shares a tile's keys are split: as many as give each multiprocessor `ctas_per_sm`
// CTAs (or as many as it holds at once, if that is less), but none of fewer than `min_keys` keys.
struct SplitRule {
  int64_t ctas_per_sm = 0;  // 0: never.
  int64_t min_keys = 1;
};

// All that a plan is free to choose.
struct FusedChoice {
  TileKind kind = TileKind::kWide;
  SplitRule splits;
};

// Problems that are planned alike. Sizes are rounded up to powers of two and given as exponents: 10 is 513 to 1024.
struct FusedClass {
  int head_dim = 0;  // One of kNativeHeadDims.
  int masked = 0;    // 1: a causal mask or a window hides keys from some row.
  int rows = 0;      // Of a unit.
  int keys = 0;      // That a query may see.
  int fill = 0;      // Rows of all units for each multiprocessor.

  bool operator==(const FusedClass&) const = default;
};

// A class and what its problems should choose. Flat, so that a row of the table is a list of numbers.
struct TunedClass {
  int head_dim;
  int masked;
  int rows;
  int keys;
  int fill;
  int kind;  // A TileKind.
  int ctas_per_sm;
  int min_keys;

  constexpr FusedClass of() const { return {head_dim, masked, rows, keys, fill}; }
  constexpr FusedChoice choice() const { return {static_cast<TileKind>(kind), {ctas_per_sm, min_keys}}; }
};

// The first of a problem's class wins over the model (fused_cost.h).
struct FusedTuning {
  absl::Span<const TunedClass> classes = {};
};

// The checked-in tables.
const FusedTuning& DefaultTuning();

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_TUNING_H_
