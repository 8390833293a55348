#include "kernels/cuda/fused_plan.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <limits>
#include <numbers>

#include "absl/container/inlined_vector.h"
#include "kernels/cuda/fused_cost.h"

namespace flashcore::cuda {
namespace {

constexpr int64_t kVectorElements = 8;  // 16 bytes.
// Beyond this a thread's offset within a tile might not fit in 32 bits.
constexpr int64_t kMaxRowStride = int64_t{1} << 24;
// In elements: FusedStrides count vectors in 32 bits.
constexpr int64_t kMaxStride = kVectorElements * std::numeric_limits<int32_t>::max();

int64_t CeilDiv(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % (kVectorElements * 2) == 0; }

bool Fits(int64_t stride) { return stride >= -kMaxStride && stride <= kMaxStride; }

bool Aligned(const Strides& strides) {
  return Fits(strides.batch) && Fits(strides.head) && strides.batch % kVectorElements == 0 &&
         strides.head % kVectorElements == 0 && strides.row % kVectorElements == 0 && strides.row >= 0 &&
         strides.row <= kMaxRowStride;
}

int32_t KeysBefore(const AttentionOptions& options) {
  return static_cast<int32_t>(options.window_left < 0 ? kMaxFusedLength
                                                      : std::min<int64_t>(options.window_left, kMaxFusedLength));
}

int32_t KeysAfter(const AttentionOptions& options) {
  if (options.causal) return 0;
  return static_cast<int32_t>(options.window_right < 0 ? kMaxFusedLength
                                                       : std::min<int64_t>(options.window_right, kMaxFusedLength));
}

// The first that is not smaller; the last is kMaxHeadDim.
int NativeHeadDim(int64_t head_dim) {
  for (const int native : kNativeHeadDims) {
    if (head_dim <= native) return native;
  }
  return kMaxHeadDim;
}

// The keys that a window lets one query see, at most.
int64_t WindowKeys(const AttentionProblem& problem) {
  const int64_t window = int64_t{KeysBefore(problem.options)} + KeysAfter(problem.options) + 1;
  return std::min(window, problem.kv_len);
}

int64_t Group(const AttentionProblem& problem) { return problem.num_qo_heads / problem.num_kv_heads; }
int64_t Units(const AttentionProblem& problem) { return problem.batch * problem.num_kv_heads; }
int64_t RowsPerUnit(const AttentionProblem& problem) { return problem.q_len * Group(problem); }

// The exponent of the power of two that `size` is rounded up to.
int Exponent(int64_t size) { return size <= 1 ? 0 : static_cast<int>(std::bit_width(static_cast<uint64_t>(size - 1))); }

// Keys that a tile may see: its rows see a window each, from one query to the last.
int64_t TileKeys(const AttentionProblem& problem, const TileConfig& tile) {
  return std::min(WindowKeys(problem) + CeilDiv(tile.Rows(), Group(problem)), problem.kv_len);
}

int64_t Tiles(const AttentionProblem& problem, const TileConfig& tile) {
  return Units(problem) * CeilDiv(RowsPerUnit(problem), tile.Rows());
}

// Of as many tiles.
int64_t MaxSplits(int64_t tiles, const TileConfig& tile) {
  if (tiles < 1 || tiles > kMaxArrivals) return 1;
  return std::max<int64_t>(kMaxPartialFloats / (tiles * tile.SplitShareFloats()), 1);
}

// What the rule asks for.
int64_t NumSplits(const AttentionProblem& problem, const TileConfig& tile, const DeviceLimits& device,
                  const SplitRule& rule) {
  // More CTAs than are resident would take turns, and then fewer and longer shares are better.
  const int64_t ctas_per_sm = std::min<int64_t>(rule.ctas_per_sm, ResidentCtas(tile, device.shared_bytes_per_sm));
  const int64_t wanted = ctas_per_sm * device.multiprocessors / Tiles(problem, tile);
  return std::min(wanted, WindowKeys(problem) / std::max<int64_t>(rule.min_keys, 1));
}

// Into `splits`, or as many as the keys and the bounds let it; shares are whole steps.
KeyCut CutKeys(const AttentionProblem& problem, const TileConfig& tile, int64_t splits, int64_t whole_tiles = 0) {
  const int64_t steps = std::max<int64_t>(CeilDiv(TileKeys(problem, tile), tile.Keys()), 1);
  const int64_t most = std::min(steps, MaxSplits(Tiles(problem, tile) - whole_tiles, tile));
  const int64_t steps_per_split = CeilDiv(steps, std::clamp<int64_t>(splits, 1, most));
  KeyCut cut = {CeilDiv(steps, steps_per_split), steps_per_split * tile.Keys()};
  if (cut.splits > 1) cut.whole_tiles = whole_tiles;
  return cut;
}

// Of Q and O, and of the keys and values that some query sees.
double TouchedBytes(const AttentionProblem& problem) {
  const int64_t first_query = problem.kv_len - problem.q_len;
  const int64_t begin = std::max<int64_t>(first_query - KeysBefore(problem.options), 0);
  const int64_t rows = std::max<int64_t>(problem.kv_len - begin, 0) + RowsPerUnit(problem);
  return 2.0 * static_cast<double>(Units(problem) * rows) * static_cast<double>(problem.head_dim) *
         static_cast<double>(SizeOf(problem.dtype));
}

// Evenly chosen tiles of a unit; without a mask they are all alike.
TileSample SampleTiles(const AttentionProblem& problem, const TileConfig& tile) {
  const int64_t group = Group(problem);
  const int64_t before = KeysBefore(problem.options);
  const int64_t after = KeysAfter(problem.options);
  const int64_t tiles = CeilDiv(RowsPerUnit(problem), tile.Rows());
  TileSample sample;
  sample.count = IsMasked(problem) ? static_cast<int>(std::min<int64_t>(tiles, TileSample::kMax)) : 1;
  sample.tiles_in_all = static_cast<double>(Units(problem) * tiles);
  sample.capped = problem.options.logits_soft_cap > 0.0F;
  sample.bytes = TouchedBytes(problem);
  for (int i = 0; i < sample.count; ++i) {
    const int64_t first_row = (2 * int64_t{i} + 1) * tiles / (2 * int64_t{sample.count}) * tile.Rows();
    const int64_t last_row = std::min(first_row + tile.Rows(), RowsPerUnit(problem)) - 1;
    const int64_t first = first_row / group + problem.kv_len - problem.q_len;
    const int64_t last = last_row / group + problem.kv_len - problem.q_len;
    const int64_t begin = std::max<int64_t>(first - before, 0);
    const int64_t end = std::min(last + after + 1, problem.kv_len);
    const int64_t full_begin = std::max<int64_t>(last - before, 0);
    const int64_t full_end = std::min(first + after + 1, problem.kv_len);
    const int64_t seen = std::max<int64_t>(end - begin, 0);
    sample.tiles[static_cast<size_t>(i)] = {seen, seen - std::clamp<int64_t>(full_end - full_begin, 0, seen)};
  }
  return sample;
}

// Numbers of splits worth a thought: few, and as many as give each multiprocessor one CTA, two, ... in one wave or two.
absl::InlinedVector<int64_t, 16> SplitsToTry(int64_t tiles, int64_t multiprocessors, int64_t resident_ctas) {
  absl::InlinedVector<int64_t, 16> splits = {1, 2, 3, 4};
  for (int64_t ctas_per_sm = 1; ctas_per_sm <= 2 * resident_ctas; ++ctas_per_sm) {
    const int64_t fitting = ctas_per_sm * multiprocessors / tiles;
    if (fitting > splits.back()) splits.push_back(fitting);
  }
  return splits;
}

using Cuts = absl::InlinedVector<KeyCut, 32>;

// Of the tiles that are left when all others have filled the device as often as they can. Whole, they take as long as
// if they filled it once more; but only tiles that are all alike come in waves.
void AddTailCuts(const AttentionProblem& problem, const ModelledTiles& tiles, Cuts& cuts) {
  constexpr int64_t kMaxSplits = 8;
  const int64_t in_a_wave = tiles.on.multiprocessors * tiles.on.resident_ctas;
  const int64_t last = Tiles(problem, tiles.tile) % in_a_wave;
  const int64_t whole = Tiles(problem, tiles.tile) - last;
  if (IsMasked(problem) || last == 0 || whole == 0) return;
  // Keys that a multiprocessor has to go through: more shares are worth a thought if there are fewer for it.
  const auto keys_per_sm = [&](const KeyCut& cut) {
    return CeilDiv(last * cut.splits, tiles.on.multiprocessors) * cut.keys_per_split;
  };
  int64_t least = keys_per_sm(CutKeys(problem, tiles.tile, 1));
  for (int64_t splits = 2; splits <= kMaxSplits; ++splits) {
    const KeyCut cut = CutKeys(problem, tiles.tile, splits, whole);
    if (cut.splits != splits || keys_per_sm(cut) >= least) continue;
    least = keys_per_sm(cut);
    cuts.push_back(cut);
  }
}

// Ways to share out a problem's keys that are worth a thought.
Cuts CutsToTry(const AttentionProblem& problem, const ModelledTiles& tiles) {
  Cuts cuts;
  for (const int64_t splits :
       SplitsToTry(Tiles(problem, tiles.tile), tiles.on.multiprocessors, tiles.on.resident_ctas)) {
    const KeyCut cut = CutKeys(problem, tiles.tile, splits);
    if (cuts.empty() || cut.splits != cuts.back().splits) cuts.push_back(cut);
  }
  AddTailCuts(problem, tiles, cuts);
  return cuts;
}

struct KindAndCut {
  TileKind kind;
  KeyCut cut;
};

// The fastest by the model; of equals the tallest tiles and the fewest splits.
KindAndCut Cheapest(const AttentionProblem& problem, const DeviceLimits& device) {
  KindAndCut best = {TileKind::kWide, {}};
  double best_us = std::numeric_limits<double>::infinity();
  for (int k = 0; k < kTileKinds; ++k) {
    const auto kind = static_cast<TileKind>(k);
    const ModelledTiles tiles = ModelTiles(problem, device, kind);
    const TileCost& cost = FittedCost(tiles.tile.head_dim, kind);
    for (const KeyCut& cut : CutsToTry(problem, tiles)) {
      const double us = PredictUs(cost, tiles.tile, tiles.sample, cut, tiles.on);
      if (us < best_us) {
        best_us = us;
        best = {kind, cut};
      }
    }
  }
  return best;
}

int64_t UnitsPerSection(const AttentionProblem& problem, const DeviceLimits& device) {
  const int64_t units = Units(problem);
  const int64_t unit_bytes = 2 * problem.kv_len * problem.head_dim * static_cast<int64_t>(SizeOf(problem.dtype));
  // Half of L2, for the rest holds what is read and written once.
  const int64_t most = std::max<int64_t>(device.l2_bytes / 2 / std::max<int64_t>(unit_bytes, 1), 1);
  if (units <= most) return units;
  // Without a mask no tile has to come before others, but those of a unit beside each other.
  if (!IsMasked(problem)) return 1;
  // With one, the last section's tiles end together if there are many of them.
  constexpr int64_t kMoreSections = 8;
  const int64_t fewest = CeilDiv(units, most);
  int64_t best = CeilDiv(units, fewest);
  const auto last = [units](int64_t per_section) { return (units - 1) % per_section + 1; };
  for (int64_t sections = fewest + 1; sections <= std::min(2 * fewest, fewest + kMoreSections); ++sections) {
    const int64_t per_section = CeilDiv(units, sections);
    if (last(per_section) * best > last(best) * per_section) best = per_section;
  }
  return best;
}

const TunedClass* FindClass(const FusedTuning& tuning, const FusedClass& of) {
  const TunedClass* const tuned = std::find_if(tuning.classes.begin(), tuning.classes.end(),
                                               [&of](const TunedClass& candidate) { return candidate.of() == of; });
  return tuned == tuning.classes.end() ? nullptr : tuned;
}

}  // namespace

bool FusedSupports(const AttentionProblem& problem) {
  if (problem.dtype == DType::kFloat32 || problem.head_dim % kVectorElements != 0) return false;
  if (!Aligned(problem.q) || !Aligned(problem.k) || !Aligned(problem.v) || !Aligned(problem.o)) return false;
  if (!Aligned(problem.q_strides) || !Aligned(problem.k_strides) || !Aligned(problem.v_strides) ||
      !Aligned(problem.o_strides)) {
    return false;
  }
  if (std::max(problem.q_len, problem.kv_len) > kMaxFusedLength || RowsPerUnit(problem) > kMaxFusedLength) return false;
  // As many tiles as the smallest make, and room for splits.
  return Units(problem) * CeilDiv(RowsPerUnit(problem), 16) < kMaxFusedLength;
}

bool IsMasked(const AttentionProblem& problem) {
  return KeysBefore(problem.options) < problem.kv_len - 1 || KeysAfter(problem.options) < problem.q_len - 1;
}

FusedClass ClassOf(const AttentionProblem& problem, const DeviceLimits& device) {
  const int64_t rows = RowsPerUnit(problem);
  return {NativeHeadDim(problem.head_dim), IsMasked(problem) ? 1 : 0, Exponent(rows), Exponent(WindowKeys(problem)),
          Exponent(CeilDiv(Units(problem) * rows, device.multiprocessors))};
}

ModelledTiles ModelTiles(const AttentionProblem& problem, const DeviceLimits& device, TileKind kind) {
  const TileConfig tile = FusedTile(NativeHeadDim(problem.head_dim), kind);
  return {tile,
          SampleTiles(problem, tile),
          {device.multiprocessors, ResidentCtas(tile, device.shared_bytes_per_sm), device.l2_bytes}};
}

std::vector<FusedPlan> CandidatePlans(const AttentionProblem& problem, const DeviceLimits& device) {
  std::vector<FusedPlan> plans;
  for (int k = 0; k < kTileKinds; ++k) {
    const auto kind = static_cast<TileKind>(k);
    for (const KeyCut& cut : CutsToTry(problem, ModelTiles(problem, device, kind))) {
      plans.push_back(PlanFusedWith(problem, device, kind, cut.splits, cut.whole_tiles));
    }
  }
  return plans;
}

FusedPlan PlanFused(const AttentionProblem& problem, const DeviceLimits& device, const FusedTuning& tuning) {
  const TunedClass* const tuned = FindClass(tuning, ClassOf(problem, device));
  if (tuned != nullptr) return PlanFusedAs(problem, device, tuned->choice());
  const KindAndCut cheapest = Cheapest(problem, device);
  return PlanFusedWith(problem, device, cheapest.kind, cheapest.cut.splits, cheapest.cut.whole_tiles);
}

FusedPlan PlanFusedAs(const AttentionProblem& problem, const DeviceLimits& device, const FusedChoice& choice) {
  const TileConfig tile = FusedTile(NativeHeadDim(problem.head_dim), choice.kind);
  return PlanFusedWith(problem, device, choice.kind, NumSplits(problem, tile, device, choice.splits));
}

FusedPlan PlanFusedWith(const AttentionProblem& problem, const DeviceLimits& device, TileKind kind, int64_t splits,
                        int64_t whole_tiles) {
  assert(FusedSupports(problem) && problem.q_len > 0);
  FusedPlan plan;
  plan.head_dim = NativeHeadDim(problem.head_dim);
  plan.kind = kind;
  plan.group = static_cast<int32_t>(Group(problem));
  plan.units = static_cast<int32_t>(Units(problem));
  plan.rows_per_unit = static_cast<int32_t>(RowsPerUnit(problem));
  const TileConfig tile = plan.tile();
  plan.tiles_per_unit = static_cast<int32_t>(CeilDiv(plan.rows_per_unit, tile.Rows()));

  const KeyCut cut = CutKeys(problem, tile, splits, std::clamp<int64_t>(whole_tiles, 0, plan.tiles()));
  plan.splits = static_cast<int32_t>(cut.splits);
  plan.keys_per_split = static_cast<int32_t>(cut.keys_per_split);
  plan.whole_tiles = static_cast<int32_t>(cut.whole_tiles);

  plan.units_per_section = static_cast<int32_t>(UnitsPerSection(problem, device));
  return plan;
}

int CtasAtOnce(const TileConfig& tile, const DeviceLimits& device) {
  return device.multiprocessors * ResidentCtas(tile, device.shared_bytes_per_sm);
}

int RoundCtas(const TileConfig& tile, const DeviceLimits& device, const LaunchSize& launch) {
  // Each CTA of the grid takes one of every round.
  if (launch.grid < launch.ctas) return launch.grid;
  // The device hands a CTA to each multiprocessor, then a second one. Of more than it holds at once the next goes where
  // a place comes free, and longest first is best as it is.
  const bool more = launch.ctas > CtasAtOnce(tile, device);
  return launch.alike || more ? launch.ctas : device.multiprocessors;
}

FusedProblem DescribeFused(const AttentionProblem& problem, const FusedPlan& plan) {
  const auto strides = [](const Strides& s) {
    return FusedStrides{static_cast<int32_t>(s.batch / kVectorElements), static_cast<int32_t>(s.head / kVectorElements),
                        static_cast<int32_t>(s.row / kVectorElements)};
  };
  FusedProblem d = {};
  d.q = problem.q;
  d.k = problem.k;
  d.v = problem.v;
  d.o = problem.o;
  d.lse = problem.lse;
  d.q_strides = strides(problem.q_strides);
  d.k_strides = strides(problem.k_strides);
  d.v_strides = strides(problem.v_strides);
  d.o_strides = strides(problem.o_strides);
  d.head_dim = static_cast<int32_t>(problem.head_dim);
  d.q_len = static_cast<int32_t>(problem.q_len);
  d.kv_len = static_cast<int32_t>(problem.kv_len);
  d.keys_before = KeysBefore(problem.options);
  d.keys_after = KeysAfter(problem.options);
  d.num_kv_heads = static_cast<int32_t>(problem.num_kv_heads);
  d.group = plan.group;
  d.units = plan.units;
  d.rows_per_unit = plan.rows_per_unit;
  d.tiles_per_unit = plan.tiles_per_unit;
  d.units_per_section = plan.units_per_section;
  d.splits = plan.splits;
  d.keys_per_split = plan.keys_per_split;
  d.whole_tiles = plan.whole_tiles;
  d.by_group = MakeDivisor(plan.group);
  d.by_kv_heads = MakeDivisor(d.num_kv_heads);
  d.by_splits = MakeDivisor(plan.splits);
  d.by_section_units = MakeDivisor(plan.units_per_section);
  d.by_section_tiles = MakeDivisor(plan.units_per_section * plan.tiles_per_unit);
  const AttentionOptions& options = problem.options;
  d.scale_log2 = static_cast<float>(options.sm_scale * std::numbers::log2e);
  const bool capped = options.logits_soft_cap > 0.0F;
  d.cap_exponent = capped ? 2.0F * d.scale_log2 / options.logits_soft_cap : 0.0F;
  d.cap_over_scale = capped ? options.logits_soft_cap / options.sm_scale : 0.0F;
  return d;
}

}  // namespace flashcore::cuda
