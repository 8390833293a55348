// Timings that nobody measured, for the tests of what is made of timings.
#ifndef FLASHCORE_TESTS_BENCH_TUNED_PROBLEMS_H_
#define FLASHCORE_TESTS_BENCH_TUNED_PROBLEMS_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/kernel/shape.h"
#include "bench/tune/cost_table.h"
#include "bench/tune/plan_timings.h"
#include "kernels/cuda/fused_plan.h"

namespace flashcore::bench {

inline constexpr cuda::DeviceLimits kTestDevice = {
    .multiprocessors = 132, .l2_bytes = int64_t{50} << 20, .shared_bytes_per_sm = int64_t{228} << 10};

// Of all candidate plans of `shapes`, as if they took what the model says with `costs`.
inline std::vector<PlanTiming> SyntheticTimings(const std::string& shapes, const CostTable& costs) {
  const absl::StatusOr<std::vector<Shape>> problems = ParseShapes(shapes);
  EXPECT_TRUE(problems.ok()) << problems.status();
  std::vector<PlanTiming> timings;
  for (const Shape& problem : *problems) {
    for (const cuda::FusedPlan& plan : cuda::CandidatePlans(problem, kTestDevice)) {
      timings.push_back({kTestDevice, problem, plan.kind, plan.cut(), 1.0});
    }
  }
  const std::vector<Observation> plans = Observe(timings);
  for (size_t i = 0; i < plans.size(); ++i) timings[i].us = PredictUs(costs, plans[i]);
  return timings;
}

}  // namespace flashcore::bench

#endif  // FLASHCORE_TESTS_BENCH_TUNED_PROBLEMS_H_
