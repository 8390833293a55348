// One task, block of keys by block of keys (the online softmax of FlashAttention), transposed throughout:
//
//   Q [rows, D] --transpose--> Q^T      for each block of kBlockKeys keys:
//                                         S^T = K Q^T          [keys, rows]
//                                         P^T = 2^(S^T - max)  down the columns: no lane meets another
//                                         O^T = O^T * rescale + V^T P^T
//   O [rows, D] <--transpose-- O^T / sum
#include "kernels/cpu/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

// SVE's vectors have no fixed size and cannot be array elements; the others add nothing to the ones that remain.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_kernel.cc"
#include "hwy/foreach_target.h"
// Highway wants foreach_target.h first.
#include "hwy/highway.h"
#include "kernels/cpu/tile_product-inl.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flashcore::cpu::HWY_NAMESPACE {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
constexpr float kLog2E = 1.44269504088896340736f;
constexpr double kLn2 = 0.69314718055994530942;

constexpr int64_t RoundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Everything about a tile that stays the same for all of its blocks.
struct TileJob {
  RowTile rows;
  TileState* state;
  int vectors;   // That hold the rows, with padding.
  KeyRange any;  // Keys that some row sees.
  KeyRange all;  // Keys that every row sees.
};

// A block of keys and values as floats; element (key, d) is at data[key * stride + d], counted from the block's start.
struct Block {
  int64_t first_key;
  int num_keys;
  Broadcast keys;
  Broadcast values;
};

const void* ElementAt(DType dtype, const void* data, int64_t index) {
  return static_cast<const std::byte*>(data) + index * static_cast<int64_t>(SizeOf(dtype));
}

int64_t RowOffset(const Strides& strides, const RowTile& rows, int row) {
  return rows.batch * strides.batch + (rows.first_head + row / rows.rows_per_head) * strides.head +
         (rows.first_row + row % rows.rows_per_head) * strides.row;
}

void LoadRanges(const AttentionProblem& problem, TileJob& job) {
  const int num_rows = job.rows.num_rows();
  TileState& state = *job.state;
  job.any = {.begin = problem.kv_len, .end = 0};
  job.all = {.begin = 0, .end = problem.kv_len};
  for (int row = 0; row < kTileRows; ++row) {
    const int real_row = std::min(row, num_rows - 1);
    const KeyRange range = VisibleKeys(problem, job.rows.first_row + real_row % job.rows.rows_per_head);
    state.begin[row] = range.begin;
    state.end[row] = range.end;
    job.all.begin = std::max(job.all.begin, range.begin);
    job.all.end = std::min(job.all.end, range.end);
    if (range.begin == range.end) continue;
    job.any.begin = std::min(job.any.begin, range.begin);
    job.any.end = std::max(job.any.end, range.end);
  }
}

void LoadQueries(const AttentionProblem& problem, TileJob& job, Scratch& scratch) {
  const int64_t head_dim = problem.head_dim;
  const int64_t columns = RoundUp(head_dim, kTransposeBlock);
  const int64_t padded_rows = RoundUp(job.vectors * static_cast<int64_t>(hn::Lanes(FloatTag())), kTransposeBlock);
  for (int row = 0; row < padded_rows; ++row) {
    float* to = scratch.rows + row * columns;
    const int64_t filled = row < job.rows.num_rows() ? head_dim : 0;
    if (filled > 0) {
      const void* from = ElementAt(problem.dtype, problem.q, RowOffset(problem.q_strides, job.rows, row));
      ConvertToFloat(problem.dtype, from, head_dim, to);
    }
    std::fill(to + filled, to + columns, 0.0f);
  }
  Transpose(scratch.rows, columns, padded_rows, columns, job.state->q, kTileRows);
}

TileJob StartTile(const AttentionProblem& problem, const RowTile& rows, TileState& state, Scratch& scratch) {
  TileJob job{.rows = rows, .state = &state, .vectors = PaddedVectors(rows.num_rows()), .any = {}, .all = {}};
  LoadRanges(problem, job);
  LoadQueries(problem, job, scratch);
  std::fill_n(state.row_max, kTileRows, kNegativeInfinity);
  std::fill_n(state.row_sum, kTileRows, 0.0f);
  std::fill_n(state.o, RoundUp(problem.head_dim, kTransposeBlock) * kTileRows, 0.0f);
  return job;
}

// Keys or values of a block as floats: in place if that is what they are, else converted into `converted`.
Broadcast LoadBlock(const AttentionProblem& problem, const void* data, int64_t offset, int64_t row_stride, int num_keys,
                    float* converted) {
  const void* first = ElementAt(problem.dtype, data, offset);
  if (problem.dtype == DType::kFloat32) return {static_cast<const float*>(first), row_stride};
  const int64_t head_dim = problem.head_dim;
  for (int key = 0; key < num_keys; ++key) {
    ConvertToFloat(problem.dtype, ElementAt(problem.dtype, first, key * row_stride), head_dim,
                   converted + key * head_dim);
  }
  return {converted, head_dim};
}

// The first and the last key that lane r sees become floats relative to `first_key`; floats hold them exactly.
void LoadMask(const TileState& state, int64_t first_key, int num_keys, Scratch& scratch) {
  for (int row = 0; row < kTileRows; ++row) {
    scratch.mask_begin[row] = static_cast<float>(std::clamp<int64_t>(state.begin[row] - first_key, 0, num_keys));
    scratch.mask_end[row] = static_cast<float>(std::clamp<int64_t>(state.end[row] - first_key, 0, num_keys));
  }
}

// What turns a dot product into a logit in units of log2: a factor, and before it the soft cap if there is one.
struct Scaling {
  float inv_cap;  // sm_scale / cap.
  float cap;
  float factor;
};

Scaling ScalingOf(const AttentionOptions& options) {
  const float cap = options.logits_soft_cap;
  if (cap > 0.0f) return {.inv_cap = options.sm_scale / cap, .cap = cap, .factor = kLog2E};
  return {.inv_cap = 0.0f, .cap = 0.0f, .factor = options.sm_scale * kLog2E};
}

// Caps and masks a vector of scores of one key.
template <bool kMasked, bool kCapped>
HWY_INLINE Floats ShapeScore(FloatTag d, Floats score, Floats key, Floats begin, Floats end, Floats inv_cap,
                             Floats cap) {
  if constexpr (kCapped) score = SoftCap(d, score, inv_cap, cap);
  if constexpr (kMasked) {
    const auto visible = hn::And(hn::Ge(key, begin), hn::Lt(key, end));
    score = hn::IfThenElse(visible, score, hn::Set(d, kNegativeInfinity));
  }
  return score;
}

// Caps and masks one vector of rows of S^T in place, and returns the largest score of each row.
template <bool kMasked, bool kCapped>
HWY_INLINE Floats ShapeColumn(const Scaling& scaling, int num_keys, int row, Scratch& scratch) {
  const FloatTag d;
  const Floats begin = hn::Load(d, scratch.mask_begin + row);
  const Floats end = hn::Load(d, scratch.mask_end + row);
  const Floats inv_cap = hn::Set(d, scaling.inv_cap);
  const Floats cap = hn::Set(d, scaling.cap);
  const auto shape = [&](int key) HWY_ATTR {
    float* at = scratch.scores + key * kTileRows + row;
    const Floats score =
        ShapeScore<kMasked, kCapped>(d, hn::Load(d, at), hn::Set(d, static_cast<float>(key)), begin, end, inv_cap, cap);
    if constexpr (kMasked || kCapped) hn::Store(score, d, at);
    return score;
  };
  // Several maxima at once: a single one would wait for its own latency.
  const Floats lowest = hn::Set(d, kNegativeInfinity);
  Floats max0 = lowest, max1 = lowest, max2 = lowest, max3 = lowest;
  constexpr int kAtOnce = 4;
  int key = 0;
  for (; key + kAtOnce <= num_keys; key += kAtOnce) {
    max0 = hn::Max(max0, shape(key));
    max1 = hn::Max(max1, shape(key + 1));
    max2 = hn::Max(max2, shape(key + 2));
    max3 = hn::Max(max3, shape(key + 3));
  }
  for (; key < num_keys; ++key) max0 = hn::Max(max0, shape(key));
  return hn::Max(hn::Max(max0, max1), hn::Max(max2, max3));
}

// S^T -> P^T for one vector of rows, and the statistics that go with it.
template <bool kMasked, bool kCapped>
HWY_INLINE void SoftmaxColumn(const Scaling& scaling, int num_keys, int row, Scratch& scratch, TileState& state) {
  const FloatTag d;
  const Floats block_max = ShapeColumn<kMasked, kCapped>(scaling, num_keys, row, scratch);
  const Floats factor = hn::Set(d, scaling.factor);
  const Floats minus_infinity = hn::Set(d, kNegativeInfinity);
  const Floats old_max = hn::Load(d, state.row_max + row);
  const Floats new_max = hn::Max(old_max, hn::Mul(block_max, factor));
  // A row without keys so far has nothing to subtract: -inf - -inf would be NaN.
  const Floats offset = hn::IfThenZeroElse(hn::Eq(new_max, minus_infinity), new_max);
  const Floats rescale = Exp2(d, hn::Sub(old_max, offset));
  Floats sum = hn::Zero(d);
  for (int key = 0; key < num_keys; ++key) {
    float* at = scratch.scores + key * kTileRows + row;
    const Floats weight = Exp2(d, hn::MulSub(hn::Load(d, at), factor, offset));
    hn::Store(weight, d, at);
    sum = hn::Add(sum, weight);
  }
  hn::Store(new_max, d, state.row_max + row);
  hn::Store(rescale, d, state.rescale + row);
  hn::Store(hn::MulAdd(hn::Load(d, state.row_sum + row), rescale, sum), d, state.row_sum + row);
}

template <bool kMasked, bool kCapped>
HWY_NOINLINE void Softmax(const Scaling& scaling, int num_keys, int vectors, Scratch& scratch, TileState& state) {
  const int lanes = static_cast<int>(hn::Lanes(FloatTag()));
  for (int n = 0; n < vectors; ++n) {
    SoftmaxColumn<kMasked, kCapped>(scaling, num_keys, n * lanes, scratch, state);
  }
}

void SoftmaxBlock(const Scaling& scaling, bool masked, int num_keys, int vectors, Scratch& scratch, TileState& state) {
  const bool capped = scaling.cap > 0.0f;
  if (masked) {
    capped ? Softmax<true, true>(scaling, num_keys, vectors, scratch, state)
           : Softmax<true, false>(scaling, num_keys, vectors, scratch, state);
  } else {
    capped ? Softmax<false, true>(scaling, num_keys, vectors, scratch, state)
           : Softmax<false, false>(scaling, num_keys, vectors, scratch, state);
  }
}

bool AllFinite(Broadcast values, int num_keys, int head_dim) {
  for (int key = 0; key < num_keys; ++key) {
    const float* row = values.data + key * values.stride;
    // Zero times anything finite is zero.
    float zero = 0.0f;
    for (int d = 0; d < head_dim; ++d) zero += row[d] * 0.0f;
    if (zero != 0.0f) return false;
  }
  return true;
}

// O^T = O^T * rescale + V^T P^T over each row's own keys only: for masked blocks whose values are not all finite, where
// the zero weight of a masked key would still let a NaN through.
void AddVisibleValues(Broadcast values, int num_keys, int head_dim, const Scratch& scratch, int num_rows,
                      TileState& state) {
  for (int row = 0; row < num_rows; ++row) {
    const int begin = static_cast<int>(scratch.mask_begin[row]);
    const int end = std::min(num_keys, static_cast<int>(scratch.mask_end[row]));
    for (int d = 0; d < head_dim; ++d) {
      float sum = 0.0f;
      for (int key = begin; key < end; ++key) {
        sum += scratch.scores[key * kTileRows + row] * values.data[key * values.stride + d];
      }
      float& o = state.o[d * kTileRows + row];
      o = o * state.rescale[row] + sum;
    }
  }
}

// Adds one block to a tile.
void AddBlock(const AttentionProblem& problem, const Scaling& scaling, const TileJob& job, const Block& block,
              Scratch& scratch) {
  const int64_t first_key = std::max(block.first_key, job.any.begin);
  const int64_t end_key = std::min(block.first_key + block.num_keys, job.any.end);
  if (first_key >= end_key) return;
  const auto num_keys = static_cast<int>(end_key - first_key);
  const auto head_dim = static_cast<int>(problem.head_dim);
  const int64_t skipped = first_key - block.first_key;
  const Broadcast keys{block.keys.data + skipped * block.keys.stride, block.keys.stride};
  const Broadcast values{block.values.data + skipped * block.values.stride, block.values.stride};
  const bool masked = first_key < job.all.begin || end_key > job.all.end;
  TileState& state = *job.state;

  Product<Walk::kAlongRows, Update::kReplace>(keys, num_keys, state.q, head_dim, job.vectors, state.rescale,
                                              scratch.scores);
  if (masked) LoadMask(state, first_key, num_keys, scratch);
  SoftmaxBlock(scaling, masked, num_keys, job.vectors, scratch, state);
  if (masked && !AllFinite(values, num_keys, head_dim)) {
    AddVisibleValues(values, num_keys, head_dim, scratch, job.rows.num_rows(), state);
    return;
  }
  Product<Walk::kAlongColumns, Update::kRescaleAndAdd>(values, head_dim, scratch.scores, num_keys, job.vectors,
                                                       state.rescale, state.o);
}

// Divides O^T by the sums: by 1 for a row that sees no key, so that it stays 0.
void Normalize(const TileJob& job, int64_t head_dim) {
  const FloatTag d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  TileState& state = *job.state;
  for (int row = 0; row < job.vectors * lanes; row += lanes) {
    const Floats sum = hn::Load(d, state.row_sum + row);
    const Floats inverse = hn::Div(hn::Set(d, 1.0f), sum);
    for (int64_t i = 0; i < head_dim; ++i) {
      float* o = state.o + i * kTileRows + row;
      hn::Store(hn::Mul(hn::Load(d, o), inverse), d, o);
    }
  }
}

void StoreTile(const AttentionProblem& problem, const TileJob& job, Scratch& scratch) {
  const int64_t head_dim = problem.head_dim;
  const int64_t columns = RoundUp(head_dim, kTransposeBlock);
  const int num_rows = job.rows.num_rows();
  TileState& state = *job.state;
  Normalize(job, head_dim);
  // NOLINTNEXTLINE(readability-suspicious-call-argument): O^T has `columns` rows.
  Transpose(state.o, kTileRows, columns, RoundUp(num_rows, kTransposeBlock), scratch.rows, columns);
  for (int row = 0; row < num_rows; ++row) {
    float* o = scratch.rows + row * columns;
    const bool sees_none = state.begin[row] == state.end[row];
    if (sees_none) std::fill_n(o, head_dim, 0.0f);
    const int64_t offset = RowOffset(problem.o_strides, job.rows, row);
    ConvertFromFloat(problem.dtype, o, head_dim, const_cast<void*>(ElementAt(problem.dtype, problem.o, offset)));
    if (problem.lse == nullptr) continue;
    const int64_t head = job.rows.first_head + row / job.rows.rows_per_head;
    const int64_t lse_row = job.rows.first_row + row % job.rows.rows_per_head;
    const double lse = kLn2 * (state.row_max[row] + std::log2(static_cast<double>(state.row_sum[row])));
    problem.lse[(job.rows.batch * problem.num_qo_heads + head) * problem.q_len + lse_row] =
        sees_none ? kNegativeInfinity : static_cast<float>(lse);
  }
}

}  // namespace

void RunTask(const AttentionProblem& problem, const RowTiling& tiling, int64_t task, Scratch& scratch) {
  const int num_tiles = tiling.num_tiles(task);
  TileJob jobs[kMaxTaskTiles];
  KeyRange any{.begin = problem.kv_len, .end = 0};
  for (int i = 0; i < num_tiles; ++i) {
    jobs[i] = StartTile(problem, tiling.Tile(task, i), scratch.tiles[i], scratch);
    any.begin = std::min(any.begin, jobs[i].any.begin);
    any.end = std::max(any.end, jobs[i].any.end);
  }
  const Scaling scaling = ScalingOf(problem.options);
  const RowTile& rows = jobs[0].rows;
  const int64_t k_head = rows.batch * problem.k_strides.batch + rows.kv_head * problem.k_strides.head;
  const int64_t v_head = rows.batch * problem.v_strides.batch + rows.kv_head * problem.v_strides.head;
  for (int64_t key = any.begin / kBlockKeys * kBlockKeys; key < any.end; key += kBlockKeys) {
    Block block{.first_key = key,
                .num_keys = static_cast<int>(std::min<int64_t>(kBlockKeys, problem.kv_len - key)),
                .keys = {},
                .values = {}};
    block.keys = LoadBlock(problem, problem.k, k_head + key * problem.k_strides.row, problem.k_strides.row,
                           block.num_keys, scratch.keys);
    block.values = LoadBlock(problem, problem.v, v_head + key * problem.v_strides.row, problem.v_strides.row,
                             block.num_keys, scratch.values);
    for (int i = 0; i < num_tiles; ++i) AddBlock(problem, scaling, jobs[i], block, scratch);
  }
  for (int i = 0; i < num_tiles; ++i) StoreTile(problem, jobs[i], scratch);
}

Kernel GetKernel() { return {.target = hwy::TargetName(HWY_TARGET), .run_task = &RunTask}; }

}  // namespace flashcore::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flashcore::cpu {

HWY_EXPORT(GetKernel);

Kernel ChooseKernel() { return HWY_DYNAMIC_DISPATCH(GetKernel)(); }

}  // namespace flashcore::cpu
#endif
