// How the fused kernels cut a problem up: a pure function of the problem, the number of multiprocessors, the size of L2
// and the tuning, so that a problem's bits are the same whatever else is in its batch. No device is needed, or asked.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_PLAN_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_PLAN_H_

#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_cost.h"
#include "kernels/cuda/fused_tiles.h"
#include "kernels/cuda/fused_tuning.h"
#include "kernels/cuda/residency.h"

namespace flashcore::cuda {

struct DeviceLimits {
  int multiprocessors = 0;
  int64_t l2_bytes = 0;
  int64_t shared_bytes_per_sm = kMinSharedBytesPerSm;
};

// Whether the fused kernels can run a (valid) problem: 16-bit elements, head_dim a multiple of 8, pointers and strides
// on 16 bytes, lengths below kMaxFusedLength, and CTAs that 32 bits can count.
bool FusedSupports(const AttentionProblem& problem);

// Whether some query does not see some key.
bool IsMasked(const AttentionProblem& problem);

// Bounds on what one problem's splits, and with it one launch, may ask for.
inline constexpr int64_t kMaxPartialFloats = int64_t{6} << 20;
inline constexpr int64_t kMaxArrivals = int64_t{1} << 14;

struct FusedPlan {
  int head_dim = 0;  // One of kNativeHeadDims.
  TileKind kind = TileKind::kWide;
  int32_t group = 0;
  int32_t units = 0;
  int32_t rows_per_unit = 0;
  int32_t tiles_per_unit = 0;
  int32_t units_per_section = 0;
  int32_t splits = 0;
  int32_t keys_per_split = 0;
  int32_t whole_tiles = 0;  // 0 without splits.

  TileConfig tile() const { return FusedTile(head_dim, kind); }
  KeyCut cut() const { return {splits, keys_per_split, whole_tiles}; }
  int64_t tiles() const { return int64_t{units} * tiles_per_unit; }
  int64_t split_tiles() const { return splits > 1 ? tiles() - whole_tiles : 0; }
  int64_t ctas() const { return tiles() + split_tiles() * (splits - 1); }
  // Device memory for the shares of split tiles.
  int64_t partial_floats() const { return split_tiles() * splits * tile().SplitShareFloats(); }
  // Counters of split tiles.
  int64_t arrivals() const { return split_tiles(); }

  bool operator==(const FusedPlan&) const = default;
};

// The following are for problems that FusedSupports, with at least one row.

FusedClass ClassOf(const AttentionProblem& problem, const DeviceLimits& device);

// The problem cut into tiles of `kind`, the keys of the longest into `splits`, or as many as the keys and the bounds
// above let it; but the first `whole_tiles` tiles stay whole.
FusedPlan PlanFusedWith(const AttentionProblem& problem, const DeviceLimits& device, TileKind kind, int64_t splits,
                        int64_t whole_tiles = 0);

// A problem cut into tiles of one kind, as the model of fused_cost.h sees it.
struct ModelledTiles {
  TileConfig tile;
  TileSample sample;
  CostModelDevice on;
};
ModelledTiles ModelTiles(const AttentionProblem& problem, const DeviceLimits& device, TileKind kind);

// All that PlanFused chooses among where no table tells it: every kind of tile, each with a few numbers of splits of
// all tiles, or of those in the last wave.
std::vector<FusedPlan> CandidatePlans(const AttentionProblem& problem, const DeviceLimits& device);

// The problem cut up as `choice` says, as far as the bounds let it.
FusedPlan PlanFusedAs(const AttentionProblem& problem, const DeviceLimits& device, const FusedChoice& choice);

// With the choice that the tuning makes.
FusedPlan PlanFused(const AttentionProblem& problem, const DeviceLimits& device,
                    const FusedTuning& tuning = DefaultTuning());

// CTAs that a device holds at once.
int CtasAtOnce(const TileConfig& tile, const DeviceLimits& device);

struct LaunchSize {
  int ctas = 0;        // Work for as many...
  int grid = 0;        // ...is done by as many.
  bool alike = false;  // All of it takes equally long.
};
// FusedBatch::round_ctas: as many as `ctas` where the order is best left as it is.
int RoundCtas(const TileConfig& tile, const DeviceLimits& device, const LaunchSize& launch);

// The problem as the kernel wants it; `partials` and `arrivals` stay null.
FusedProblem DescribeFused(const AttentionProblem& problem, const FusedPlan& plan);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_PLAN_H_
