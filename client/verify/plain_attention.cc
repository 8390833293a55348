#include "client/verify/plain_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/base/float16.h"

namespace flashcore {
namespace {

float Round(DType dtype, float value) {
  switch (dtype) {
    case DType::kFloat16:
      return HalfToFloat(FloatToHalf(value));
    case DType::kBFloat16:
      return Bfloat16ToFloat(FloatToBfloat16(value));
    case DType::kFloat32:
      break;
  }
  return value;
}

float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One query row against one key/value head; k and v point at the head's first key.
class Row {
 public:
  Row(const AttentionProblem& problem, DType dtype, KeyRange keys) : problem_(problem), dtype_(dtype), keys_(keys) {}

  void Run(const float* q, const float* k, const float* v, float* o) {
    std::fill_n(o, problem_.head_dim, 0.0f);
    if (keys_.begin >= keys_.end) return;
    Logits(q, k);
    Softmax();
    for (int64_t j = keys_.begin; j < keys_.end; ++j) {
      const float p = weights_[static_cast<size_t>(j - keys_.begin)];
      const float* value = v + j * problem_.v_strides.row;
      for (int64_t d = 0; d < problem_.head_dim; ++d) o[d] += p * value[d];
    }
    for (int64_t d = 0; d < problem_.head_dim; ++d) o[d] = Round(dtype_, o[d]);
  }

 private:
  void Logits(const float* q, const float* k) {
    const float cap = problem_.options.logits_soft_cap;
    weights_.clear();
    for (int64_t j = keys_.begin; j < keys_.end; ++j) {
      const float dot = Dot(q, k + j * problem_.k_strides.row, problem_.head_dim);
      const float logit = Round(dtype_, problem_.options.sm_scale * dot);
      weights_.push_back(cap > 0 ? Round(dtype_, cap * std::tanh(logit / cap)) : logit);
    }
  }

  void Softmax() {
    const float max = *std::max_element(weights_.begin(), weights_.end());
    float sum = 0;
    for (float& weight : weights_) sum += weight = std::exp(weight - max);
    for (float& weight : weights_) weight = Round(dtype_, weight / sum);
  }

  const AttentionProblem& problem_;
  const DType dtype_;
  const KeyRange keys_;
  std::vector<float> weights_;
};

}  // namespace

void PlainAttention(const AttentionProblem& problem, DType dtype) {
  const int64_t group = problem.num_qo_heads / problem.num_kv_heads;
  const auto* q = static_cast<const float*>(problem.q);
  const auto* k = static_cast<const float*>(problem.k);
  const auto* v = static_cast<const float*>(problem.v);
  auto* o = static_cast<float*>(problem.o);
  for (int64_t row = 0; row < problem.q_len; ++row) {
    Row computation(problem, dtype, VisibleKeys(problem, row));
    for (int64_t b = 0; b < problem.batch; ++b) {
      for (int64_t h = 0; h < problem.num_qo_heads; ++h) {
        computation.Run(q + b * problem.q_strides.batch + h * problem.q_strides.head + row * problem.q_strides.row,
                        k + b * problem.k_strides.batch + h / group * problem.k_strides.head,
                        v + b * problem.v_strides.batch + h / group * problem.v_strides.head,
                        o + b * problem.o_strides.batch + h * problem.o_strides.head + row * problem.o_strides.row);
      }
    }
  }
}

}  // namespace flashcore
