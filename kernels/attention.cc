#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

// Whether the product of all factors, with zeros counted as ones, fits in int64.
bool ProductFits(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (__builtin_mul_overflow(product, std::max<int64_t>(factor, 1), &product)) return false;
  }
  return true;
}

int64_t ClampToKeys(int64_t value, int64_t kv_len) { return std::clamp<int64_t>(value, 0, kv_len); }

// a + b for b >= 0, saturating.
int64_t SaturatingAdd(int64_t a, int64_t b) { return a > kMaxInt64 - b ? kMaxInt64 : a + b; }

// How far right of its aligned position a query sees; kMaxInt64 if there is no bound.
int64_t RightReach(const AttentionOptions& options) {
  const int64_t window = options.window_right < 0 ? kMaxInt64 : options.window_right;
  return options.causal ? 0 : window;
}

// sum over i in [0, count) of clamp(first + i, 0, limit).
double ClampedSum(double first, double count, double limit) {
  const double rising_begin = std::clamp(-first, 0.0, count);
  const double rising_end = std::clamp(limit - first, rising_begin, count);
  const double rising_count = rising_end - rising_begin;
  const double rising_sum = rising_count * (2 * first + rising_begin + rising_end - 1) / 2;
  return rising_sum + (count - rising_end) * limit;
}

absl::Status CheckAtLeast(absl::string_view field, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it must be at least ", least));
}

absl::Status ValidateShape(const AttentionProblem& p) {
  for (const absl::Status& status : {CheckAtLeast("batch", p.batch, 1), CheckAtLeast("num_qo_heads", p.num_qo_heads, 1),
                                     CheckAtLeast("num_kv_heads", p.num_kv_heads, 1), CheckAtLeast("q_len", p.q_len, 0),
                                     CheckAtLeast("kv_len", p.kv_len, 0), CheckAtLeast("head_dim", p.head_dim, 1)}) {
    if (!status.ok()) return status;
  }
  if (p.head_dim > kMaxHeadDim) {
    return absl::InvalidArgumentError(absl::StrCat("head_dim is ", p.head_dim, "; it must be at most ", kMaxHeadDim));
  }
  if (p.num_qo_heads % p.num_kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_kv_heads is ", p.num_kv_heads, "; it must divide num_qo_heads, which is ", p.num_qo_heads));
  }
  // Four bytes an element bounds every dtype and the LSE.
  constexpr int64_t kWidestElementBytes = sizeof(float);
  if (!ProductFits({p.batch, p.num_qo_heads, p.q_len, p.head_dim, kWidestElementBytes})) {
    return absl::InvalidArgumentError(
        "batch * num_qo_heads * q_len * head_dim is too large; each tensor's size in bytes must fit in 63 bits");
  }
  if (!ProductFits({p.batch, p.num_kv_heads, p.kv_len, p.head_dim, kWidestElementBytes})) {
    return absl::InvalidArgumentError(
        "batch * num_kv_heads * kv_len * head_dim is too large; each tensor's size in bytes must fit in 63 bits");
  }
  return absl::OkStatus();
}

absl::Status ValidateOptions(const AttentionOptions& options) {
  if (!std::isfinite(options.sm_scale) || options.sm_scale <= 0.0f) {
    return absl::InvalidArgumentError(
        absl::StrCat("sm_scale is ", options.sm_scale, "; it must be finite and greater than 0"));
  }
  if (!std::isfinite(options.logits_soft_cap) || options.logits_soft_cap < 0.0f) {
    return absl::InvalidArgumentError(absl::StrCat("logits_soft_cap is ", options.logits_soft_cap,
                                                   "; it must be finite and at least 0 (0 turns it off)"));
  }
  constexpr int64_t kWindowOff = -1;
  absl::Status left = CheckAtLeast("window_left", options.window_left, kWindowOff);
  return left.ok() ? CheckAtLeast("window_right", options.window_right, kWindowOff) : left;
}

}  // namespace

size_t SizeOf(DType dtype) { return dtype == DType::kFloat32 ? sizeof(float) : sizeof(uint16_t); }

absl::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "fp16";
    case DType::kBFloat16:
      return "bf16";
    case DType::kFloat32:
      return "fp32";
  }
  return "unknown";
}

Strides StridesBhsd(int64_t heads, int64_t rows, int64_t head_dim) {
  return {.batch = heads * rows * head_dim, .head = rows * head_dim, .row = head_dim};
}

Strides StridesBshd(int64_t heads, int64_t rows, int64_t head_dim) {
  return {.batch = rows * heads * head_dim, .head = head_dim, .row = heads * head_dim};
}

float DefaultScale(int64_t head_dim) { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

absl::Status ValidateProblem(const AttentionProblem& problem) {
  if (problem.dtype > DType::kFloat32) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype is ", static_cast<int>(problem.dtype), "; it must be fp16, bf16 or fp32"));
  }
  absl::Status shape = ValidateShape(problem);
  return shape.ok() ? ValidateOptions(problem.options) : shape;
}

int64_t QueryElements(const AttentionProblem& p) { return p.batch * p.num_qo_heads * p.q_len * p.head_dim; }

int64_t KeyValueElements(const AttentionProblem& p) { return p.batch * p.num_kv_heads * p.kv_len * p.head_dim; }

int64_t LseElements(const AttentionProblem& p) { return p.batch * p.num_qo_heads * p.q_len; }

KeyRange VisibleKeys(const AttentionProblem& problem, int64_t row) {
  const int64_t aligned = row + problem.kv_len - problem.q_len;
  const int64_t window_left = problem.options.window_left;
  const int64_t right = RightReach(problem.options);
  KeyRange range{.begin = 0, .end = problem.kv_len};
  // A valid problem's lengths are below 2^62, so only a window can push these sums out of range.
  if (right < kMaxInt64) range.end = ClampToKeys(SaturatingAdd(aligned + 1, right), problem.kv_len);
  if (window_left >= 0 && window_left < aligned) range.begin = ClampToKeys(aligned - window_left, problem.kv_len);
  return range;
}

double AttentionFlops(const AttentionProblem& p) {
  const auto rows = static_cast<double>(p.q_len);
  const auto keys = static_cast<double>(p.kv_len);
  const double first_aligned = keys - rows;
  const int64_t right = RightReach(p.options);
  const double ends =
      right == kMaxInt64 ? rows * keys : ClampedSum(first_aligned + static_cast<double>(right) + 1, rows, keys);
  const double begins = p.options.window_left < 0
                            ? 0.0
                            : ClampedSum(first_aligned - static_cast<double>(p.options.window_left), rows, keys);
  constexpr double kFlopsPerPairAndDim = 4.0;
  return kFlopsPerPairAndDim * static_cast<double>(p.head_dim) * static_cast<double>(p.batch) *
         static_cast<double>(p.num_qo_heads) * (ends - begins);
}

}  // namespace flashcore
