#include "kernels/cuda/fused_cost.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace flashcore::cuda {
namespace {

// Microseconds, but for the last two.
struct TileCost {
  double step;            // Of a multiprocessor, for one step of one of its CTAs, when it has enough of them.
  double latency;         // Of a step in a CTA that is alone.
  double cta;             // Around the steps of a CTA.
  double merge;           // Of a tile that is split...
  double merge_share;     // ...and for each of its shares, for each 8192 elements of O.
  double masked_step;     // How much more a step that a mask crosses takes, as a multiple of `step`...
  double masked_latency;  // ...and of `latency`.
};

// How much longer the steps of a problem with a soft cap take: none of them is the common way's.
constexpr double kSoftCap = 2.25;

// By head_dim and kind.
constexpr TileCost kCosts[std::size(kNativeHeadDims)][kTileKinds] = {
#include "kernels/cuda/tuned/costs.inc"
};

TileCost CostOf(const TileConfig& tile, TileKind kind, bool capped) {
  const auto* const native = std::find(std::begin(kNativeHeadDims), std::end(kNativeHeadDims), tile.head_dim);
  TileCost cost = kCosts[native - std::begin(kNativeHeadDims)][static_cast<int>(kind)];
  cost.step *= capped ? kSoftCap : 1.0;
  cost.latency *= capped ? kSoftCap : 1.0;
  return cost;
}

double CeilDiv(int64_t dividend, int64_t divisor) {
  const int64_t quotient = (dividend + divisor - 1) / divisor;
  return static_cast<double>(quotient);
}

// What all CTAs of a launch do, and the longest of them.
struct Load {
  double ctas = 0.0;
  double steps = 0.0;  // Masked ones weigh more.
  double longest_steps = 0.0;
  double longest_latency = 0.0;
  double shares = 1.0;  // Of the tile that is split the most.
};

Load LoadOf(const TileConfig& tile, const TileCost& cost, const TileSample& sample, int64_t splits,
            int64_t keys_per_split) {
  Load load;
  const double split_steps = CeilDiv(keys_per_split, tile.Keys());
  for (int i = 0; i < sample.count; ++i) {
    const TileSample::Keys& keys = sample.tiles[static_cast<size_t>(i)];
    const double steps = CeilDiv(keys.seen, tile.Keys());
    const double masked = keys.masked == 0 ? 0.0 : std::min(CeilDiv(keys.masked, tile.Keys()) + 1.0, steps);
    const double shares = splits > 1 ? std::max(CeilDiv(keys.seen, keys_per_split), 1.0) : 1.0;
    const double longest = splits > 1 ? std::min(steps, split_steps) : steps;
    const double longest_masked = std::min(masked, longest);
    load.ctas += shares;
    load.steps += steps + cost.masked_step * masked;
    load.shares = std::max(load.shares, shares);
    const double weighted = longest + cost.masked_step * longest_masked;
    if (weighted > load.longest_steps) {
      load.longest_steps = weighted;
      load.longest_latency = cost.latency * (longest + cost.masked_latency * longest_masked);
    }
  }
  load.ctas *= sample.weight;
  load.steps *= sample.weight;
  return load;
}

}  // namespace

double PredictUs(const TileConfig& tile, TileKind kind, const TileSample& sample, int64_t splits,
                 int64_t keys_per_split, const CostModelDevice& device) {
  const TileCost cost = CostOf(tile, kind, sample.capped);
  const Load load = LoadOf(tile, cost, sample, splits, keys_per_split);
  const auto sms = static_cast<double>(device.multiprocessors);
  const auto resident = static_cast<double>(device.resident_ctas);
  const double mean = load.steps / load.ctas;
  // Of one step where `ctas` share a multiprocessor: they wait for each other's work, or each for its own.
  const auto step = [&](double ctas) {
    return std::max(load.longest_steps == 0.0 ? 0.0 : load.longest_latency / load.longest_steps, ctas * cost.step);
  };
  double us = 0.0;
  if (load.ctas <= sms * resident) {
    const double neighbours = std::min(std::ceil(load.ctas / sms), resident) - 1.0;
    us = std::max(load.longest_latency, (load.longest_steps + neighbours * mean) * cost.step) + cost.cta;
  } else {
    const double waves = load.ctas / (sms * resident);
    const double last = load.ctas - std::floor(waves) * sms * resident;
    const double in_waves = std::floor(waves) * (mean * step(resident) + cost.cta) +
                            (last == 0.0 ? 0.0 : mean * step(std::ceil(last / sms)) + cost.cta);
    // Of CTAs that differ, the short ones fill the last wave.
    constexpr double kBestFill = 1.03;
    const double filled = waves * (mean * step(resident) * kBestFill + cost.cta) + cost.cta;
    const double alike = std::clamp(2.0 * mean / std::max(load.longest_steps, 1e-9) - 1.0, 0.0, 1.0);
    us = std::max(alike * in_waves + (1.0 - alike) * filled, load.longest_steps * cost.step + cost.cta);
  }
  if (load.shares > 1.0) {
    constexpr double kElements = 8192.0;
    us += cost.merge + cost.merge_share * load.shares * tile.Rows() * tile.head_dim / kElements;
  }
  return us;
}

}  // namespace flashcore::cuda
