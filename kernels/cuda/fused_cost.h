// How long the fused kernels take under a plan, as far as sizes tell: what a plan minimises. A model with a few numbers
// for each tile configuration, fitted to measured times (flashcore_calibrate). Pure functions; no device is needed.
//
//   a tile's keys            --> steps of the CTAs that share them, masked ones apart
//   all CTAs, a multiprocessor's CTAs --> whole waves, each as long as the tensor cores or one CTA's own chain of
//                                         latencies take, and a last wave that leaves multiprocessors empty; or, of
//                                         CTAs that differ, the longest, which may outlast all others
//   what L2 does not hold    --> the time to read it
//   splits                   --> shares written and merged
//   tiles left whole         --> waves of their own, before those of the shares
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_COST_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_COST_H_

#include <array>
#include <cstdint>

#include "kernels/cuda/fused_tiles.h"

namespace flashcore::cuda {

// The keys of a problem's tiles, by the example of a few, evenly chosen.
struct TileSample {
  static constexpr int kMax = 8;
  struct Keys {
    int64_t seen;    // By some row.
    int64_t masked;  // Of those, not by every row.
  };
  std::array<Keys, kMax> tiles;
  int count = 0;
  double tiles_in_all = 0.0;  // For which these stand.
  bool capped = false;        // A soft cap shapes the scores.
  double bytes = 0.0;         // Of Q and O, and of the keys and values that are seen.
};

// Whose keys are shared out among several CTAs, and how.
struct KeyCut {
  int64_t splits = 1;          // CTAs of the longest tile; 1 leaves all tiles whole.
  int64_t keys_per_split = 0;  // Of each but a tile's last.
  int64_t whole_tiles = 0;     // Tiles that come first, and are left whole though the others are not.
};

struct CostModelDevice {
  int64_t multiprocessors;
  int64_t resident_ctas;  // Of the tile, on one multiprocessor.
  int64_t l2_bytes;
};

// What is fitted, for each tile configuration: microseconds, but for the last three.
struct TileCost {
  double step;            // Of a multiprocessor, for one step of one of its CTAs, when it has enough of them.
  double latency;         // Of a step in a CTA that is alone.
  double cta;             // Around the steps of a CTA.
  double merge;           // Of a tile that is split...
  double merge_share;     // ...and for each of its shares, for each 8192 elements of O.
  double masked_step;     // How much more a step that a mask crosses takes, as a multiple of `step`...
  double masked_latency;  // ...and of `latency`.
  double capped;          // How many times as long a step takes whose scores have a soft cap.
};

// The checked-in numbers (tuned/costs.inc). `head_dim` is one of kNativeHeadDims.
const TileCost& FittedCost(int head_dim, TileKind kind);

// Microseconds of a launch that cuts the tiles' keys so.
double PredictUs(const TileCost& cost, const TileConfig& tile, const TileSample& sample, const KeyCut& cut,
                 const CostModelDevice& device);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_COST_H_
