// The oracle: attention as its definition reads, in double precision.
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/base/float16.h"

namespace flashcore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One head of K or V, [rows, D] contiguous.
std::vector<double> LoadRows(DType dtype, const void* data, int64_t offset, int64_t row_stride, int64_t rows,
                             int64_t head_dim) {
  std::vector<double> values(static_cast<size_t>(rows * head_dim));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t d = 0; d < head_dim; ++d) {
      values[static_cast<size_t>(row * head_dim + d)] = LoadElement(dtype, data, offset + row * row_stride + d);
    }
  }
  return values;
}

// Independent partial sums keep the loop from waiting on one addition's latency.
double Dot(const double* a, const double* b, int64_t count) {
  constexpr int64_t kPartials = 8;
  std::array<double, kPartials> sums{};
  int64_t d = 0;
  for (; d + kPartials <= count; d += kPartials) {
    for (int64_t i = 0; i < kPartials; ++i) sums[static_cast<size_t>(i)] += a[d + i] * b[d + i];
  }
  double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (; d < count; ++d) sum += a[d] * b[d];
  return sum;
}

struct RowResult {
  std::vector<double> o;
  double lse = -kInfinity;
};

RowResult AttendRow(const AttentionProblem& problem, const double* q, const double* k, const double* v,
                    KeyRange visible) {
  const int64_t head_dim = problem.head_dim;
  RowResult result{.o = std::vector<double>(static_cast<size_t>(head_dim), 0.0)};
  if (visible.begin == visible.end) return result;

  const double cap = problem.options.logits_soft_cap;
  std::vector<double> weights;
  weights.reserve(static_cast<size_t>(visible.end - visible.begin));
  double max_logit = -kInfinity;
  for (int64_t key = visible.begin; key < visible.end; ++key) {
    double logit = problem.options.sm_scale * Dot(q, k + key * head_dim, head_dim);
    if (cap > 0.0) logit = cap * std::tanh(logit / cap);
    weights.push_back(logit);
    max_logit = std::max(max_logit, logit);
  }
  double sum = 0.0;
  for (double& weight : weights) {
    weight = std::exp(weight - max_logit);
    sum += weight;
  }
  for (int64_t key = visible.begin; key < visible.end; ++key) {
    const double weight = weights[static_cast<size_t>(key - visible.begin)] / sum;
    for (int64_t d = 0; d < head_dim; ++d) result.o[static_cast<size_t>(d)] += weight * v[key * head_dim + d];
  }
  result.lse = max_logit + std::log(sum);
  return result;
}

void AttendQueryHead(const AttentionProblem& p, int64_t batch, int64_t head, const double* k, const double* v) {
  const int64_t q_offset = batch * p.q_strides.batch + head * p.q_strides.head;
  const int64_t o_offset = batch * p.o_strides.batch + head * p.o_strides.head;
  for (int64_t row = 0; row < p.q_len; ++row) {
    const std::vector<double> q = LoadRows(p.dtype, p.q, q_offset + row * p.q_strides.row, 0, 1, p.head_dim);
    const RowResult result = AttendRow(p, q.data(), k, v, VisibleKeys(p, row));
    for (int64_t d = 0; d < p.head_dim; ++d) {
      StoreElement(p.dtype, p.o, o_offset + row * p.o_strides.row + d,
                   static_cast<float>(result.o[static_cast<size_t>(d)]));
    }
    if (p.lse != nullptr) p.lse[(batch * p.num_qo_heads + head) * p.q_len + row] = static_cast<float>(result.lse);
  }
}

void Attend(const AttentionProblem& p) {
  const int64_t group = p.num_qo_heads / p.num_kv_heads;
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    for (int64_t kv_head = 0; kv_head < p.num_kv_heads; ++kv_head) {
      const int64_t k_offset = batch * p.k_strides.batch + kv_head * p.k_strides.head;
      const int64_t v_offset = batch * p.v_strides.batch + kv_head * p.v_strides.head;
      const std::vector<double> k = LoadRows(p.dtype, p.k, k_offset, p.k_strides.row, p.kv_len, p.head_dim);
      const std::vector<double> v = LoadRows(p.dtype, p.v, v_offset, p.v_strides.row, p.kv_len, p.head_dim);
      for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        AttendQueryHead(p, batch, head, k.data(), v.data());
      }
    }
  }
}

class ReferenceBackend final : public AttentionBackend {
 public:
  ReferenceBackend() {
    info_.backend = "reference";
    info_.device = "CPU";
    info_.kernel = "reference";
    info_.dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};
    info_.num_threads = 1;
    launch_counts_ = std::make_shared<LaunchCounts>(std::vector<std::string>{info_.kernel});
  }

  const BackendInfo& info() const override { return info_; }

  absl::Status CheckSupported(const AttentionProblem&) const override { return absl::OkStatus(); }

  absl::Status Launch(absl::Span<const AttentionProblem> problems, void*) override {
    assert(problems.size() <= kMaxBatchProblems);
    launch_counts_->Add(0, 1);
    for (const AttentionProblem& problem : problems) {
      assert(ValidateProblem(problem).ok());
      Attend(problem);
    }
    return absl::OkStatus();
  }

  std::shared_ptr<const LaunchCounts> launch_counts() const override { return launch_counts_; }

 private:
  BackendInfo info_;
  std::shared_ptr<LaunchCounts> launch_counts_;
};

}  // namespace

std::unique_ptr<AttentionBackend> CreateReferenceBackend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace flashcore
