// Problems for tests of plans: nothing computes them.
#ifndef FLASHCORE_TESTS_KERNELS_PLAN_PROBLEMS_H_
#define FLASHCORE_TESTS_KERNELS_PLAN_PROBLEMS_H_

#include <cstdint>

#include "kernels/attention.h"

namespace flashcore {

// [B, H, S, D] without gaps, without data and without a mask.
inline AttentionProblem Shape(int64_t batch, int64_t heads, int64_t kv_heads, int64_t q_len, int64_t kv_len,
                              int64_t head_dim) {
  AttentionProblem problem;
  problem.batch = batch;
  problem.num_qo_heads = heads;
  problem.num_kv_heads = kv_heads;
  problem.q_len = q_len;
  problem.kv_len = kv_len;
  problem.head_dim = head_dim;
  problem.options.sm_scale = DefaultScale(head_dim);
  problem.q_strides = problem.o_strides = StridesBhsd(heads, q_len, head_dim);
  problem.k_strides = problem.v_strides = StridesBhsd(kv_heads, kv_len, head_dim);
  return problem;
}

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_KERNELS_PLAN_PROBLEMS_H_
