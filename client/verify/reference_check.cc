#include "client/verify/reference_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/verify/plain_attention.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

constexpr size_t kRank = 4;
constexpr double kAbsoluteTolerance = 1e-5;
constexpr double kPlainFactor = 2;
constexpr double kLseAbsoluteTolerance = 1e-3;
constexpr double kLseRelativeTolerance = 1e-5;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double UnitRoundoff(DType dtype) {
  constexpr int kHalfBits = 11;
  constexpr int kBfloat16Bits = 8;
  constexpr int kFloatBits = 24;
  switch (dtype) {
    case DType::kFloat16:
      return std::ldexp(1.0, -kHalfBits);
    case DType::kBFloat16:
      return std::ldexp(1.0, -kBfloat16Bits);
    case DType::kFloat32:
      break;
  }
  return std::ldexp(1.0, -kFloatBits);
}

struct Dims {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t head_dim = 0;
  Strides strides = {};
};

absl::StatusOr<Dims> DimsOf(absl::string_view name, const Tensor& tensor) {
  const std::vector<int64_t>& shape = tensor.shape();
  if (shape.size() != kRank) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".shape: has rank ", shape.size(), " and must have 4"));
  }
  const bool bhsd = tensor.layout() == Layout::kBhsd;
  Dims dims{.batch = shape[0], .heads = shape[bhsd ? 1 : 2], .rows = shape[bhsd ? 2 : 1], .head_dim = shape[3]};
  dims.strides =
      bhsd ? StridesBhsd(dims.heads, dims.rows, dims.head_dim) : StridesBshd(dims.heads, dims.rows, dims.head_dim);
  return dims;
}

bool SameShape(const Dims& a, const Dims& b) {
  return a.batch == b.batch && a.heads == b.heads && a.rows == b.rows && a.head_dim == b.head_dim;
}

absl::Status CheckFit(const Tensor& q, const Tensor& k, const Tensor& v, const Dims& q_dims, const Dims& k_dims,
                      const Dims& v_dims) {
  const auto describe = [&] { return absl::StrCat("q is ", ToString(q.spec()), ", k ", ToString(k.spec())); };
  if (k.dtype() != q.dtype() || v.dtype() != q.dtype()) {
    return absl::InvalidArgumentError("k.dtype and v.dtype: must be q's");
  }
  if (k_dims.batch != q_dims.batch || k_dims.head_dim != q_dims.head_dim) {
    return absl::InvalidArgumentError(absl::StrCat("k.shape: batch and head_dim must be q's; ", describe()));
  }
  if (!SameShape(k_dims, v_dims)) return absl::InvalidArgumentError("v.shape: must be k's");
  return absl::OkStatus();
}

// The problem over FP32 copies of its tensors, which is exact, with O and LSE in `expected`.
class WidenedProblem {
 public:
  WidenedProblem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionProblem& problem)
      : q_(q.ToFloats()), k_(k.ToFloats()), v_(v.ToFloats()), problem_(problem) {
    problem_.dtype = DType::kFloat32;
    problem_.q = q_.data();
    problem_.k = k_.data();
    problem_.v = v_.data();
  }

  const AttentionProblem& Into(std::vector<float>& o, std::vector<float>* lse) {
    o.resize(static_cast<size_t>(QueryElements(problem_)));
    problem_.o = o.data();
    problem_.lse = nullptr;
    if (lse != nullptr) {
      lse->resize(static_cast<size_t>(LseElements(problem_)));
      problem_.lse = lse->data();
    }
    return problem_;
  }

 private:
  std::vector<float> q_;
  std::vector<float> k_;
  std::vector<float> v_;
  AttentionProblem problem_;
};

// Of the finite differences: where textbook attention overflows its dtype, it says nothing about what is right.
double MaxFiniteDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double max = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    if (std::isfinite(difference)) max = std::max(max, difference);
  }
  return max;
}

double MaxFiniteMagnitude(const std::vector<float>& values) {
  double max = 0;
  for (const float value : values) {
    if (std::isfinite(value)) max = std::max(max, std::abs(static_cast<double>(value)));
  }
  return max;
}

// |got - want|; 0 where both are NaN or the same infinity, infinite where only one is.
double Difference(float got, float want) {
  if (std::isnan(want) && std::isnan(got)) return 0;
  if (got == want) return 0;
  const double difference = std::abs(static_cast<double>(got) - want);
  return std::isnan(difference) ? kInfinity : difference;
}

std::string Misfit(absl::string_view name, size_t index, float got, float want, double tolerance) {
  return absl::StrFormat("%s[%d] is %.9g and should be %.9g, give or take %.3g", name, index, got, want, tolerance);
}

void CheckOutput(const ExpectedAnswer& expected, const Tensor& o, Verdict& verdict) {
  for (size_t i = 0; i < expected.o.size(); ++i) {
    const float got = o.At(static_cast<int64_t>(i));
    const double difference = Difference(got, expected.o[i]);
    if (difference <= verdict.max_error) continue;
    verdict.max_error = difference;
    if (difference > expected.tolerance) verdict.problem = Misfit("o", i, got, expected.o[i], expected.tolerance);
  }
}

void CheckLse(const ExpectedAnswer& expected, const Tensor& lse, Verdict& verdict) {
  for (size_t i = 0; i < expected.lse.size() && verdict.problem.empty(); ++i) {
    const float want = expected.lse[i];
    const float got = lse.At(static_cast<int64_t>(i));
    const double tolerance =
        kLseAbsoluteTolerance + (std::isfinite(want) ? kLseRelativeTolerance * std::abs(want) : 0.0);
    if (Difference(got, want) > tolerance) verdict.problem = Misfit("lse", i, got, want, tolerance);
  }
}

}  // namespace

absl::StatusOr<AttentionProblem> ToProblem(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const AttendOptions& options) {
  const absl::StatusOr<Dims> q_dims = DimsOf("q", q);
  if (!q_dims.ok()) return q_dims.status();
  const absl::StatusOr<Dims> k_dims = DimsOf("k", k);
  if (!k_dims.ok()) return k_dims.status();
  const absl::StatusOr<Dims> v_dims = DimsOf("v", v);
  if (!v_dims.ok()) return v_dims.status();
  if (absl::Status fit = CheckFit(q, k, v, *q_dims, *k_dims, *v_dims); !fit.ok()) return fit;

  AttentionProblem problem{.dtype = q.dtype(),
                           .batch = q_dims->batch,
                           .num_qo_heads = q_dims->heads,
                           .num_kv_heads = k_dims->heads,
                           .q_len = q_dims->rows,
                           .kv_len = k_dims->rows,
                           .head_dim = q_dims->head_dim,
                           .options = {.causal = options.causal,
                                       .sm_scale = options.sm_scale.value_or(DefaultScale(q_dims->head_dim)),
                                       .logits_soft_cap = options.logits_soft_cap,
                                       .window_left = options.window_left,
                                       .window_right = options.window_right},
                           .q = q.data(),
                           .k = k.data(),
                           .v = v.data(),
                           .o = nullptr,
                           .lse = nullptr,
                           .q_strides = q_dims->strides,
                           .k_strides = k_dims->strides,
                           .v_strides = v_dims->strides,
                           .o_strides = q_dims->strides};
  if (absl::Status valid = ValidateProblem(problem); !valid.ok()) return valid;
  return problem;
}

absl::StatusOr<ExpectedAnswer> ComputeExpected(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const AttendOptions& options) {
  const absl::StatusOr<AttentionProblem> problem = ToProblem(q, k, v, options);
  if (!problem.ok()) return problem.status();
  WidenedProblem widened(q, k, v, *problem);
  ExpectedAnswer expected;
  const std::unique_ptr<AttentionBackend> reference = CreateReferenceBackend();
  absl::Status computed = reference->Launch({widened.Into(expected.o, &expected.lse)}, nullptr);
  if (!computed.ok()) return computed;

  std::vector<float> plain;
  PlainAttention(widened.Into(plain, nullptr), problem->dtype);
  expected.tolerance = kPlainFactor * MaxFiniteDifference(plain, expected.o) +
                       UnitRoundoff(problem->dtype) * MaxFiniteMagnitude(expected.o) + kAbsoluteTolerance;
  return expected;
}

Verdict Check(const ExpectedAnswer& expected, const AttendResult& answer) {
  Verdict verdict{.right = false, .max_error = 0, .tolerance = expected.tolerance, .problem = {}};
  if (answer.o.elements() != static_cast<int64_t>(expected.o.size())) {
    verdict.max_error = kInfinity;
    verdict.problem = absl::StrCat("o has ", answer.o.elements(), " elements instead of ", expected.o.size());
    return verdict;
  }
  CheckOutput(expected, answer.o, verdict);
  if (answer.lse.has_value()) CheckLse(expected, *answer.lse, verdict);
  verdict.right = verdict.problem.empty();
  return verdict;
}

}  // namespace flashcore
