// The fused kernels' plans as a space to search, a class of problems at a time. Pure functions; no device is needed.
//
//   point {tile kind, CTAs for each multiprocessor, least keys of a share} = cuda::FusedChoice
//     --PlanFusedAs--> plan, named by {kind, splits, keys of a split, tiles left whole}: what is measured
//
// Many points give a problem the same plan, and each plan is measured only once (plan_cost.h).
#ifndef FLASHCORE_BENCH_TUNE_PLAN_SPACE_H_
#define FLASHCORE_BENCH_TUNE_PLAN_SPACE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "bench/tune/plan_cost.h"
#include "bench/tune/plan_table.h"
#include "bench/tune/search.h"
#include "kernels/attention.h"
#include "kernels/cuda/fused_plan.h"

namespace flashcore::bench {

// Problems that the table cannot tell apart.
struct ProblemClass {
  cuda::FusedClass of;
  std::vector<AttentionProblem> problems;
};

// In the order of each class's first problem; what FusedSupports does not run, and what has no rows, is left out.
std::vector<ProblemClass> GroupByClass(absl::Span<const AttentionProblem> problems, const cuda::DeviceLimits& device);

// Gives a class of one problem a second one, of three quarters of its lengths, if that is in the class too: what is
// tuned for a class should not be right for one length alone.
void AddRelative(ProblemClass& of, const cuda::DeviceLimits& device);

// All choices; where keys are not to be split, one point stands for all.
Space PlanSpace();

// One point for each kind of tile. Splits have so many more that a search which starts blindly may never see these.
std::vector<Point> UnsplitPoints();

// The `count` points that the cost model of kernels/cuda/fused_cost.h predicts to be the fastest for the class, no two
// of which plan it alike: what the search is to improve on.
std::vector<Point> PredictedPoints(const ProblemClass& of, const cuda::DeviceLimits& device, size_t count);

// Of a point of that space.
cuda::FusedChoice ChoiceOf(const Point& point);

// Of a plan, among all plans of its problem; and back.
PlanKey KeyOf(const cuda::FusedPlan& plan);
cuda::FusedPlan PlanOf(const AttentionProblem& problem, const cuda::DeviceLimits& device, const PlanKey& key);

// A table's key for a class: TunedClass without its choice. A point of PlanSpace is its choice.
std::vector<int> TableKey(const cuda::FusedClass& of);
std::vector<std::string> TableKeyNames();
std::vector<std::string> ChoiceNames();

// "wide", "mid", "short" or "narrow".
absl::string_view ToString(cuda::TileKind kind);
// "64-wide, masked, 513-1024 rows, ..." for people.
std::string ToString(const cuda::FusedClass& of);
// "narrow, 4 splits of 128 keys".
std::string ToString(const cuda::FusedPlan& plan);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLAN_SPACE_H_
