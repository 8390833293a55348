// Whether an output is right, before anyone asks how fast it came.
//
// Small problems are compared with `reference` on every row. Large ones on a sample of rows (the first and last of the
// first and last head, the rest at random); their other rows are compared with the output of a simpler kernel that has
// passed the sample itself.
#ifndef FLASHCORE_BENCH_KERNEL_ORACLE_H_
#define FLASHCORE_BENCH_KERNEL_ORACLE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "bench/kernel/host_tensors.h"
#include "bench/kernel/shape.h"

namespace flashcore::bench {

class Oracle {
 public:
  // Computes the expected rows, on all CPUs. Keeps no reference to its arguments.
  Oracle(const Shape& shape, const HostTensors& tensors, uint64_t seed);

  // Whether every row is known.
  bool complete() const;

  // FlashAttention-2's rule, 2 * max |plain - reference| + 1e-5, where `plain` is the same attention with S, P and O
  // rounded to the shape's dtype.
  double tolerance() const { return tolerance_; }

  // The largest error of `output` [B, Hq, Sq, D] on the known rows; NaN counts as infinite.
  double MaxError(absl::Span<const float> output) const;

 private:
  struct Row {
    int64_t index = 0;     // Into [B, Hq, Sq].
    std::vector<float> o;  // [D].
  };

  int64_t head_dim_ = 0;
  int64_t num_rows_ = 0;
  std::vector<Row> rows_;
  double tolerance_ = 0.0;
};

// The largest excess of |a - b| over half the last place of a result of that size in `dtype`, which two right results
// may differ by because each was rounded; NaN counts as infinite. Both have the same length.
double MaxDifference(DType dtype, absl::Span<const float> a, absl::Span<const float> b);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_ORACLE_H_
