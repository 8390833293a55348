#include "kernels/cuda/fused_plan.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <limits>
#include <numbers>

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

// On average over the queries, roughly: a causal mask hides half of a square.
int64_t MeanKeys(const AttentionProblem& problem) {
  int64_t keys = problem.kv_len;
  if (problem.options.causal) keys = std::max(problem.kv_len - problem.q_len / 2, problem.kv_len / 2);
  return std::min(keys, WindowKeys(problem));
}

bool IsMasked(const AttentionProblem& problem) {
  return problem.options.causal || WindowKeys(problem) < problem.kv_len;
}

int64_t Group(const AttentionProblem& problem) { return problem.num_qo_heads / problem.num_kv_heads; }
int64_t Units(const AttentionProblem& problem) { return problem.batch * problem.num_kv_heads; }
int64_t RowsPerUnit(const AttentionProblem& problem) { return problem.q_len * Group(problem); }

// The exponent of the power of two that `size` is rounded up to.
int Exponent(int64_t size) { return size <= 1 ? 0 : static_cast<int>(std::bit_width(static_cast<uint64_t>(size - 1))); }

TileKind ChooseKind(const AttentionProblem& problem, const DeviceLimits& device, const FusedTuning& tuning) {
  const int64_t rows = RowsPerUnit(problem);
  const auto ctas = [&](TileKind kind) {
    return Units(problem) * CeilDiv(rows, FusedTile(NativeHeadDim(problem.head_dim), kind).Rows());
  };
  const int64_t empty_at = problem.kv_len <= tuning.narrow_keys ? device.multiprocessors : device.multiprocessors / 4;
  if (rows <= tuning.narrow_rows) return TileKind::kNarrow;
  if (ctas(TileKind::kMid) < empty_at) {
    const int64_t short_ctas = ctas(TileKind::kShort);
    const bool one_each = short_ctas <= device.multiprocessors && short_ctas > device.multiprocessors / 2;
    // Under a mask the smaller tiles have less to skip.
    return one_each && !IsMasked(problem) ? TileKind::kShort : TileKind::kNarrow;
  }
  if (IsMasked(problem) && MeanKeys(problem) < tuning.mid_keys) return TileKind::kMid;
  return ctas(TileKind::kWide) > device.multiprocessors ? TileKind::kWide : TileKind::kMid;
}

FusedChoice Choose(const AttentionProblem& problem, const DeviceLimits& device, const FusedTuning& tuning) {
  const FusedClass of = ClassOf(problem, device);
  const TunedClass* const tuned = std::find_if(tuning.classes.begin(), tuning.classes.end(),
                                               [&of](const TunedClass& candidate) { return candidate.of() == of; });
  if (tuned != tuning.classes.end()) return tuned->choice();
  return {ChooseKind(problem, device, tuning), tuning.splits};
}

// What the rule asks for, as far as the tile can and the bounds let it.
int64_t NumSplits(const AttentionProblem& problem, const FusedPlan& plan, const DeviceLimits& device,
                  const SplitRule& rule) {
  const TileConfig tile = plan.tile();
  const int64_t tiles = int64_t{plan.units} * plan.tiles_per_unit;
  if (tiles > kMaxArrivals) return 1;
  // More CTAs than are resident would take turns, and then fewer and longer shares are better.
  const int64_t ctas_per_sm = std::min<int64_t>(rule.ctas_per_sm, ResidentCtas(tile, device.shared_bytes_per_sm));
  const int64_t wanted = ctas_per_sm * device.multiprocessors / tiles;
  const int64_t enough_keys = WindowKeys(problem) / std::max<int64_t>(rule.min_keys, 1);
  const int64_t room = kMaxPartialFloats / (tiles * tile.SplitShareFloats());
  return std::max<int64_t>(std::min({wanted, enough_keys, room}), 1);
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

int64_t FusedPlan::partial_floats() const { return splits > 1 ? ctas() * tile().SplitShareFloats() : 0; }

FusedClass ClassOf(const AttentionProblem& problem, const DeviceLimits& device) {
  const int64_t rows = RowsPerUnit(problem);
  return {NativeHeadDim(problem.head_dim), IsMasked(problem) ? 1 : 0, Exponent(rows), Exponent(WindowKeys(problem)),
          Exponent(CeilDiv(Units(problem) * rows, device.multiprocessors))};
}

FusedPlan PlanFused(const AttentionProblem& problem, const DeviceLimits& device, const FusedTuning& tuning) {
  return PlanFusedAs(problem, device, Choose(problem, device, tuning));
}

FusedPlan PlanFusedAs(const AttentionProblem& problem, const DeviceLimits& device, const FusedChoice& choice) {
  assert(FusedSupports(problem) && problem.q_len > 0);
  FusedPlan plan;
  plan.head_dim = NativeHeadDim(problem.head_dim);
  plan.kind = choice.kind;
  plan.group = static_cast<int32_t>(Group(problem));
  plan.units = static_cast<int32_t>(Units(problem));
  plan.rows_per_unit = static_cast<int32_t>(RowsPerUnit(problem));
  const TileConfig tile = plan.tile();
  plan.tiles_per_unit = static_cast<int32_t>(CeilDiv(plan.rows_per_unit, tile.Rows()));

  // Keys that any tile sees: a tile's rows see a window each, from one query to the last.
  const int64_t span = std::min(WindowKeys(problem) + CeilDiv(tile.Rows(), plan.group), problem.kv_len);
  const int64_t key_tiles = std::max<int64_t>(CeilDiv(span, tile.Keys()), 1);
  const int64_t tiles_per_split = CeilDiv(key_tiles, NumSplits(problem, plan, device, choice.splits));
  plan.keys_per_split = static_cast<int32_t>(tiles_per_split * tile.Keys());
  plan.splits = static_cast<int32_t>(CeilDiv(key_tiles, tiles_per_split));

  // Half of L2, for the rest holds what is read and written once.
  const int64_t unit_bytes = 2 * problem.kv_len * problem.head_dim * static_cast<int64_t>(SizeOf(problem.dtype));
  plan.units_per_section =
      static_cast<int32_t>(std::clamp<int64_t>(device.l2_bytes / 2 / std::max<int64_t>(unit_bytes, 1), 1, plan.units));
  return plan;
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
  d.by_group = MakeDivisor(plan.group);
  d.by_kv_heads = MakeDivisor(d.num_kv_heads);
  d.by_splits = MakeDivisor(plan.splits);
  d.by_units = MakeDivisor(plan.units);
  const AttentionOptions& options = problem.options;
  d.scale_log2 = static_cast<float>(options.sm_scale * std::numbers::log2e);
  const bool capped = options.logits_soft_cap > 0.0F;
  d.cap_exponent = capped ? 2.0F * d.scale_log2 / options.logits_soft_cap : 0.0F;
  d.cap_over_scale = capped ? options.logits_soft_cap / options.sm_scale : 0.0F;
  return d;
}

}  // namespace flashcore::cuda
