// Measured times of plans, as lines of text: what flashcore_calibrate writes, and fits the cost model to.
//
//   132 52428800 233472 1,8,512,64,causal 3 1 512 0 5.64
//   |   |        |      |                 | | |   | `- microseconds
//   |   |        |      |                 `-`-`---`- the plan: tile kind, splits, keys of a split, tiles left whole
//   |   |        |      `- the problem (bench/kernel/shape.h)
//   `---`--------`- the device: multiprocessors, bytes of L2, bytes of shared memory on a multiprocessor
//
// Lines that begin with # are comments. A plan of three numbers, as plans once were, leaves no tile whole.
#ifndef FLASHCORE_BENCH_TUNE_PLAN_TIMINGS_H_
#define FLASHCORE_BENCH_TUNE_PLAN_TIMINGS_H_

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bench/kernel/shape.h"
#include "kernels/cuda/fused_plan.h"

namespace flashcore::bench {

struct PlanTiming {
  cuda::DeviceLimits device;
  Shape problem;
  cuda::TileKind kind = cuda::TileKind::kWide;
  cuda::KeyCut cut;
  double us = 0.0;
};

// Without a newline. Read back, it is the same to a hundredth of a microsecond.
std::string ToLine(const PlanTiming& timing);

// INVALID_ARGUMENT: says what is wrong with the line.
absl::StatusOr<PlanTiming> ParseTiming(absl::string_view line);

// All lines, but for comments and empty ones; the error names the first line that is none.
absl::StatusOr<std::vector<PlanTiming>> ReadTimings(std::istream& text);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLAN_TIMINGS_H_
