// Is an answer right? The reference backend computes it again in double precision, and the difference is held against a
// tolerance made for this very problem, by the rule that FlashAttention-2's own tests use:
//
//   max|o - ref|  <=  2 * max|plain - ref| + u * max|ref| + 1e-5
//
// `plain` is textbook attention in the problem's dtype: logits, probabilities and output are each rounded to it. So an
// answer may be at most about twice as wrong as the obvious implementation, whatever the shape and the values. The
// second term, one rounding (u: 2^-11 fp16, 2^-8 bf16, 2^-24 fp32) of the largest output, covers problems so small that
// `plain` happens to be exact. LSE is held to 1e-3 + 1e-5 * |ref|. NaN and infinities must be where the reference has
// them.
//
// All functions are pure and thread-safe.
#ifndef FLASHCORE_CLIENT_VERIFY_REFERENCE_CHECK_H_
#define FLASHCORE_CLIENT_VERIFY_REFERENCE_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/attend.h"
#include "client/tensor.h"
#include "kernels/attention.h"

namespace flashcore {

// The kernels' view of a request, without pointers for O and LSE. Points into the tensors. INVALID_ARGUMENT names the
// field: rank, shapes that do not fit together, options out of bounds.
absl::StatusOr<AttentionProblem> ToProblem(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const AttendOptions& options);

struct ExpectedAnswer {
  std::vector<float> o;    // In q's layout.
  std::vector<float> lse;  // [B, Hq, Sq].
  double tolerance = 0;    // On |o - ref|.
};

// Slow: O(Hq * Sq * Skv * D) on one thread, twice. Errors as ToProblem.
absl::StatusOr<ExpectedAnswer> ComputeExpected(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const AttendOptions& options);

struct Verdict {
  bool right = false;
  double max_error = 0;  // Of O; infinite where a NaN or an infinity is misplaced.
  double tolerance = 0;
  std::string problem;  // Of a wrong answer: what is wrong, and where.
};

// `answer` has the shape of `expected`. An LSE that was not asked for is not looked at.
Verdict Check(const ExpectedAnswer& expected, const AttendResult& answer);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_VERIFY_REFERENCE_CHECK_H_
