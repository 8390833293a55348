#include "bench/kernel/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backends.h"
#include "kernels/base/float16.h"

namespace flashcore::bench {
namespace {

// What the reference may cost: about a second of one CPU.
constexpr double kOracleFlops = 1e9;
constexpr int64_t kMinSampledRows = 64;
// Rows at each end of a head: where masks begin and end.
constexpr int64_t kEdgeRows = 8;
constexpr double kPlainErrors = 2.0;
constexpr double kAbsoluteTolerance = 1e-5;

float RoundTo(DType dtype, float value) {
  float rounded = 0.0f;
  uint32_t bits = 0;
  StoreElement(dtype, &bits, 0, value);
  rounded = LoadElement(dtype, &bits, 0);
  return rounded;
}

std::vector<int64_t> ChooseRows(const Shape& shape, uint64_t seed) {
  const int64_t num_rows = shape.batch * shape.num_qo_heads * shape.q_len;
  const double row_flops = 4.0 * static_cast<double>(shape.head_dim * std::max<int64_t>(shape.kv_len, 1));
  const auto affordable = static_cast<int64_t>(kOracleFlops / row_flops);
  std::vector<int64_t> rows;
  if (num_rows <= std::max(affordable, kMinSampledRows)) {
    for (int64_t i = 0; i < num_rows; ++i) rows.push_back(i);
    return rows;
  }
  const int64_t edge = std::min(kEdgeRows, shape.q_len);
  for (int64_t head_begin : {int64_t{0}, num_rows - shape.q_len}) {
    for (int64_t i = 0; i < edge; ++i) {
      rows.push_back(head_begin + i);
      rows.push_back(head_begin + shape.q_len - 1 - i);
    }
  }
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any_row(0, num_rows - 1);
  while (static_cast<int64_t>(rows.size()) < std::max(affordable, kMinSampledRows)) rows.push_back(any_row(random));
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

// One row as a problem of its own, in float: its visible keys and no mask.
AttentionProblem RowProblem(const Shape& shape, const HostTensors& tensors, int64_t index, float* o) {
  const int64_t row = index % shape.q_len;
  const int64_t head = index / shape.q_len % shape.num_qo_heads;
  const int64_t batch = index / shape.q_len / shape.num_qo_heads;
  const int64_t kv_head = batch * shape.num_kv_heads + head / (shape.num_qo_heads / shape.num_kv_heads);
  const KeyRange keys = VisibleKeys(shape, row);
  const int64_t kv_offset = (kv_head * shape.kv_len + keys.begin) * shape.head_dim;
  AttentionProblem problem;
  problem.dtype = DType::kFloat32;
  problem.batch = problem.num_qo_heads = problem.num_kv_heads = problem.q_len = 1;
  problem.kv_len = keys.end - keys.begin;
  problem.head_dim = shape.head_dim;
  problem.options.sm_scale = shape.options.sm_scale;
  problem.options.logits_soft_cap = shape.options.logits_soft_cap;
  problem.q = tensors.q.data() + index * shape.head_dim;
  problem.k = tensors.k.data() + kv_offset;
  problem.v = tensors.v.data() + kv_offset;
  problem.o = o;
  problem.q_strides = problem.o_strides = StridesBhsd(1, 1, shape.head_dim);
  problem.k_strides = problem.v_strides = StridesBhsd(1, problem.kv_len, shape.head_dim);
  return problem;
}

// The row as textbook attention would compute it with S and P stored in `dtype`.
std::vector<float> PlainRow(const AttentionProblem& row, DType dtype) {
  const int64_t d = row.head_dim;
  const auto* q = static_cast<const float*>(row.q);
  const auto* k = static_cast<const float*>(row.k);
  const auto* v = static_cast<const float*>(row.v);
  const float cap = row.options.logits_soft_cap;
  std::vector<float> p(static_cast<size_t>(row.kv_len));
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t j = 0; j < row.kv_len; ++j) {
    float logit = 0.0f;
    for (int64_t i = 0; i < d; ++i) logit += q[i] * k[j * d + i];
    logit *= row.options.sm_scale;
    if (cap > 0.0f) logit = cap * std::tanh(logit / cap);
    p[j] = RoundTo(dtype, logit);
    largest = std::max(largest, p[j]);
  }
  float sum = 0.0f;
  for (float& weight : p) sum += weight = std::exp(weight - largest);
  std::vector<float> o(static_cast<size_t>(d));
  for (int64_t j = 0; j < row.kv_len; ++j) {
    const float weight = RoundTo(dtype, p[j] / sum);
    for (int64_t i = 0; i < d; ++i) o[i] += weight * v[j * d + i];
  }
  for (float& value : o) value = RoundTo(dtype, value);
  return o;
}

double AbsError(float actual, float expected) {
  const double error = std::abs(static_cast<double>(actual) - expected);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

double MaxAbsError(absl::Span<const float> actual, absl::Span<const float> expected) {
  double largest = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) largest = std::max(largest, AbsError(actual[i], expected[i]));
  return largest;
}

// Half the distance between neighbours in `dtype`, relative to the value.
double RelativeRounding(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return std::ldexp(1.0, -11);
    case DType::kBFloat16:
      return std::ldexp(1.0, -8);
    case DType::kFloat32:
      break;
  }
  return std::ldexp(1.0, -24);
}

}  // namespace

Oracle::Oracle(const Shape& shape, const HostTensors& tensors, uint64_t seed)
    : head_dim_(shape.head_dim), num_rows_(shape.batch * shape.num_qo_heads * shape.q_len) {
  for (int64_t index : ChooseRows(shape, seed)) rows_.push_back({index, std::vector<float>(shape.head_dim)});
  const std::unique_ptr<AttentionBackend> reference = CreateReferenceBackend();
  std::vector<double> plain_errors(rows_.size());
  ParallelFor(static_cast<int64_t>(rows_.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const AttentionProblem row = RowProblem(shape, tensors, rows_[i].index, rows_[i].o.data());
      // The reference has nothing to refuse.
      reference->Launch(absl::MakeConstSpan(&row, 1), nullptr).IgnoreError();
      plain_errors[i] = MaxAbsError(PlainRow(row, shape.dtype), rows_[i].o);
    }
  });
  const double plain_error = rows_.empty() ? 0.0 : *std::max_element(plain_errors.begin(), plain_errors.end());
  tolerance_ = kPlainErrors * plain_error + kAbsoluteTolerance;
}

bool Oracle::complete() const { return static_cast<int64_t>(rows_.size()) == num_rows_; }

double Oracle::MaxError(absl::Span<const float> output) const {
  double largest = 0.0;
  for (const Row& row : rows_) {
    largest = std::max(largest, MaxAbsError(output.subspan(row.index * head_dim_, head_dim_), row.o));
  }
  return largest;
}

double MaxDifference(DType dtype, absl::Span<const float> a, absl::Span<const float> b) {
  const double rounding = RelativeRounding(dtype);
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double excess = AbsError(a[i], b[i]) - rounding * std::abs(static_cast<double>(b[i]));
    if (std::isnan(excess)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, excess);
  }
  return largest;
}

}  // namespace flashcore::bench
