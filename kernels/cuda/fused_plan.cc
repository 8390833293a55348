#include "kernels/cuda/fused_plan.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>
#include <numbers>

namespace flashcore::cuda {
namespace {

constexpr int64_t kVectorElements = 8;  // 16 bytes.
// Beyond this a thread's offset within a tile might not fit in 32 bits.
constexpr int64_t kMaxRowStride = int64_t{1} << 24;
// Rows up to here leave most of a wider tile empty.
constexpr int64_t kNarrowRows = 32;
// A narrow tile reads K and V for few rows: only where they are short, or the device would stay mostly empty.
constexpr int64_t kNarrowKeys = 1024;
// Below this many keys for a row, on average, masks waste more of a wide tile than its reuse of K and V saves.
constexpr int64_t kMidKeys = 1536;
// A share of fewer keys costs more to merge than it saves.
constexpr int64_t kMinKeysPerSplit = 512;
// Narrow CTAs that a multiprocessor can hold, and what a grid should give it.
constexpr int64_t kNarrowCtasPerSm = 2;

int64_t CeilDiv(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % (kVectorElements * 2) == 0; }

bool Aligned(const Strides& strides) {
  return strides.batch % kVectorElements == 0 && strides.head % kVectorElements == 0 &&
         strides.row % kVectorElements == 0 && strides.row >= 0 && strides.row <= kMaxRowStride;
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

TileKind ChooseKind(const AttentionProblem& problem, int head_dim, int64_t units, int64_t rows,
                    const DeviceLimits& device) {
  const auto ctas = [&](TileKind kind) { return units * CeilDiv(rows, FusedTile(head_dim, kind).Rows()); };
  const int64_t empty_at = problem.kv_len <= kNarrowKeys ? device.multiprocessors : device.multiprocessors / 4;
  if (rows <= kNarrowRows || ctas(TileKind::kMid) < empty_at) return TileKind::kNarrow;
  const bool masked = problem.options.causal || WindowKeys(problem) < problem.kv_len;
  if (masked && MeanKeys(problem) < kMidKeys) return TileKind::kMid;
  return ctas(TileKind::kWide) > device.multiprocessors ? TileKind::kWide : TileKind::kMid;
}

// Enough to fill the device, but no share too small.
int64_t ChooseSplits(const AttentionProblem& problem, const FusedPlan& plan, const DeviceLimits& device) {
  if (plan.kind != TileKind::kNarrow) return 1;
  const int64_t tiles = int64_t{plan.units} * plan.tiles_per_unit;
  const int64_t wanted = kNarrowCtasPerSm * device.multiprocessors / tiles;
  return std::clamp<int64_t>(std::min(wanted, WindowKeys(problem) / kMinKeysPerSplit), 1, tiles > 0 ? wanted + 1 : 1);
}

}  // namespace

bool FusedSupports(const AttentionProblem& problem) {
  if (problem.dtype == DType::kFloat32 || problem.head_dim % kVectorElements != 0) return false;
  if (!Aligned(problem.q) || !Aligned(problem.k) || !Aligned(problem.v) || !Aligned(problem.o)) return false;
  if (!Aligned(problem.q_strides) || !Aligned(problem.k_strides) || !Aligned(problem.v_strides) ||
      !Aligned(problem.o_strides)) {
    return false;
  }
  const int64_t group = problem.num_qo_heads / problem.num_kv_heads;
  if (std::max(problem.q_len, problem.kv_len) > kMaxFusedLength || problem.q_len * group > kMaxFusedLength)
    return false;
  // As many tiles as the smallest make, and room for splits.
  return problem.batch * problem.num_kv_heads * CeilDiv(problem.q_len * group, 16) < kMaxFusedLength;
}

int64_t FusedPlan::partial_floats() const { return splits > 1 ? ctas() * tile().SplitShareFloats() : 0; }

FusedPlan PlanFused(const AttentionProblem& problem, const DeviceLimits& device) {
  assert(FusedSupports(problem) && problem.q_len > 0);
  FusedPlan plan;
  plan.head_dim = NativeHeadDim(problem.head_dim);
  const int64_t group = problem.num_qo_heads / problem.num_kv_heads;
  plan.group = static_cast<int32_t>(group);
  plan.units = static_cast<int32_t>(problem.batch * problem.num_kv_heads);
  plan.rows_per_unit = static_cast<int32_t>(problem.q_len * group);
  plan.kind = ChooseKind(problem, plan.head_dim, plan.units, plan.rows_per_unit, device);
  const TileConfig tile = plan.tile();
  plan.tiles_per_unit = static_cast<int32_t>(CeilDiv(plan.rows_per_unit, tile.Rows()));

  // Keys that any tile sees: a tile's rows see a window each, from one query to the last.
  const int64_t span = std::min(WindowKeys(problem) + CeilDiv(tile.Rows(), group), problem.kv_len);
  const int64_t key_tiles = std::max<int64_t>(CeilDiv(span, tile.Keys()), 1);
  const int64_t tiles_per_split = CeilDiv(key_tiles, ChooseSplits(problem, plan, device));
  plan.keys_per_split = static_cast<int32_t>(tiles_per_split * tile.Keys());
  plan.splits = static_cast<int32_t>(CeilDiv(key_tiles, tiles_per_split));

  // Half of L2, for the rest holds what is read and written once.
  const int64_t unit_bytes = 2 * problem.kv_len * problem.head_dim * static_cast<int64_t>(SizeOf(problem.dtype));
  plan.units_per_section =
      static_cast<int32_t>(std::clamp<int64_t>(device.l2_bytes / 2 / std::max<int64_t>(unit_bytes, 1), 1, plan.units));
  return plan;
}

FusedProblem DescribeFused(const AttentionProblem& problem, const FusedPlan& plan) {
  const auto strides = [](const Strides& s) { return TensorStrides{s.batch, s.head, s.row}; };
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
  const AttentionOptions& options = problem.options;
  d.scale_log2 = static_cast<float>(options.sm_scale * std::numbers::log2e);
  d.headroom = std::min(kHeadroomLog2 / d.scale_log2, std::numeric_limits<float>::max());
  const bool capped = options.logits_soft_cap > 0.0F;
  d.cap_exponent = capped ? 2.0F * d.scale_log2 / options.logits_soft_cap : 0.0F;
  d.cap_over_scale = capped ? options.logits_soft_cap / options.sm_scale : 0.0F;
  return d;
}

}  // namespace flashcore::cuda
