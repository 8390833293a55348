#include "kernels/cuda/fused_cost.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace flashcore::cuda {
namespace {

// What an H100's memory delivers. Slower memory only makes plans differ less.
constexpr double kMemoryBytesPerUs = 2.9e6;
// At which shares of split tiles are written and read again, all together.
constexpr double kShareBytesPerUs = 7e6;

// By head_dim and kind.
constexpr TileCost kCosts[std::size(kNativeHeadDims)][kTileKinds] = {
#include "kernels/cuda/tuned/costs.inc"
};
// A configuration without numbers would be planned for everything.
static_assert(kCosts[std::size(kNativeHeadDims) - 1][kTileKinds - 1].latency > 0.0);

double CeilDiv(int64_t dividend, int64_t divisor) {
  const int64_t quotient = (dividend + divisor - 1) / divisor;
  return static_cast<double>(quotient);
}

// What some CTAs of a launch do, and the longest of them.
struct Load {
  double ctas = 0.0;
  double steps = 0.0;  // Masked ones weigh more.
  double longest_steps = 0.0;
  double longest_latency = 0.0;
  double shares = 1.0;  // Of the tile that is split the most.

  double MeanSteps() const { return steps / ctas; }

  // CTAs that have to share a multiprocessor where `count` are left: they spread.
  static double Abreast(double count, double sms, double resident) {
    return std::min(std::ceil(count / sms), resident);
  }
};

// Of `tiles` tiles like those of the sample.
Load LoadOf(const TileConfig& tile, const TileCost& cost, const TileSample& sample, const KeyCut& cut, double tiles) {
  // Of one that has keys: a CTA without them only writes zeros.
  constexpr double kEmptyCta = 0.25;
  Load load;
  const double split_steps = CeilDiv(cut.keys_per_split, tile.Keys());
  for (int i = 0; i < sample.count; ++i) {
    const TileSample::Keys& keys = sample.tiles[static_cast<size_t>(i)];
    const double steps = CeilDiv(keys.seen, tile.Keys());
    const double masked = keys.masked == 0 ? 0.0 : std::min(CeilDiv(keys.masked, tile.Keys()) + 1.0, steps);
    const double shares = cut.splits > 1 ? std::max(CeilDiv(keys.seen, cut.keys_per_split), 1.0) : 1.0;
    const double longest = cut.splits > 1 ? std::min(steps, split_steps) : steps;
    const double longest_masked = std::min(masked, longest);
    load.ctas += steps == 0.0 ? kEmptyCta : shares;
    load.steps += steps + cost.masked_step * masked;
    load.shares = std::max(load.shares, shares);
    const double weighted = longest + cost.masked_step * longest_masked;
    if (weighted > load.longest_steps) {
      load.longest_steps = weighted;
      load.longest_latency = cost.latency * (longest + cost.masked_latency * longest_masked);
    }
  }
  load.ctas *= tiles / sample.count;
  load.steps *= tiles / sample.count;
  return load;
}

// Of CTAs that a device holds all at once.
double OneWaveUs(const TileCost& cost, const Load& load, double sms, double resident) {
  const double neighbours = load.Abreast(load.ctas, sms, resident) - 1.0;
  return cost.cta + std::max(load.longest_latency, (load.longest_steps + neighbours * load.MeanSteps()) * cost.step);
}

// Of more CTAs than that.
double WavesUs(const TileCost& cost, const Load& load, double sms, double resident) {
  const double mean = load.MeanSteps();
  const double chain = load.longest_steps == 0.0 ? 0.0 : load.longest_latency / load.longest_steps;
  // Of one step where `ctas` share a multiprocessor: they wait for each other's work, or each for its own.
  const auto step = [&](double ctas) { return std::max(chain, ctas * cost.step); };
  const double waves = load.ctas / (sms * resident);
  const double last = load.ctas - std::floor(waves) * sms * resident;
  const double in_waves = std::floor(waves) * (mean * step(resident) + cost.cta) +
                          (last == 0.0 ? 0.0 : mean * step(load.Abreast(last, sms, resident)) + cost.cta);
  // Of CTAs that differ, the short ones fill the last wave. What the longest have not done by then they do alone.
  constexpr double kBestFill = 1.03;
  const double filled = waves * (mean * step(resident) * kBestFill + cost.cta) + cost.cta;
  const double outlasted = filled + std::max(load.longest_steps - filled / step(resident), 0.0) * step(1.0);
  const double alike = std::clamp(2.0 * mean / std::max(load.longest_steps, 1e-9) - 1.0, 0.0, 1.0);
  return alike * in_waves + (1.0 - alike) * outlasted;
}

double ComputeUs(const TileCost& cost, const Load& load, const CostModelDevice& device) {
  const auto sms = static_cast<double>(device.multiprocessors);
  const auto resident = static_cast<double>(device.resident_ctas);
  return load.ctas <= sms * resident ? OneWaveUs(cost, load, sms, resident) : WavesUs(cost, load, sms, resident);
}

}  // namespace

const TileCost& FittedCost(int head_dim, TileKind kind) {
  const auto* const native = std::find(std::begin(kNativeHeadDims), std::end(kNativeHeadDims), head_dim);
  return kCosts[native - std::begin(kNativeHeadDims)][static_cast<int>(kind)];
}

double PredictUs(const TileCost& cost, const TileConfig& tile, const TileSample& sample, const KeyCut& cut,
                 const CostModelDevice& device) {
  TileCost scaled = cost;
  scaled.step *= sample.capped ? cost.capped : 1.0;
  scaled.latency *= sample.capped ? cost.capped : 1.0;
  const auto whole_tiles = static_cast<double>(cut.whole_tiles);
  const Load load = LoadOf(tile, scaled, sample, cut, sample.tiles_in_all - whole_tiles);
  double us = ComputeUs(scaled, load, device);
  if (cut.whole_tiles > 0) us += ComputeUs(scaled, LoadOf(tile, scaled, sample, KeyCut(), whole_tiles), device);
  if (sample.bytes > static_cast<double>(device.l2_bytes)) {
    const double memory_us = sample.bytes / kMemoryBytesPerUs;
    us = cost.cta + std::sqrt((us - cost.cta) * (us - cost.cta) + memory_us * memory_us);
  }
  if (load.shares > 1.0) {
    constexpr double kElements = 8192.0;
    const double elements = tile.Rows() * tile.head_dim;
    us += cost.merge + cost.merge_share * load.shares * elements / kElements +
          2.0 * sizeof(float) * load.ctas * elements / kShareBytesPerUs;
  }
  return us;
}

}  // namespace flashcore::cuda
