// What a way of planning costs over many problems: the function that the search minimises.
//
//   point of the space --plan_of--> the plan of each problem --measure, once for each plan--> geometric mean
//
// Many points give a problem the same plan, so that a search of thousands of points takes a few hundred measurements.
#ifndef FLASHCORE_BENCH_TUNE_PLAN_COST_H_
#define FLASHCORE_BENCH_TUNE_PLAN_COST_H_

#include <cstddef>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "bench/tune/search.h"

namespace flashcore::bench {

// Whatever tells one plan of a problem from another.
using PlanKey = std::vector<int>;

// Callable as Evaluate. Not thread-safe.
class PlanCost {
 public:
  // The plan of problem `problem`, counted from 0, when planned as `point` says. Pure.
  using PlanOf = std::function<PlanKey(size_t problem, const Point& point)>;
  // Checks and times a problem under a plan.
  using Measure = std::function<Evaluation(size_t problem, const PlanKey& plan)>;

  PlanCost(size_t problems, PlanOf plan_of, Measure measure)
      : problems_(problems), plan_of_(std::move(plan_of)), measure_(std::move(measure)) {}

  // Geometric mean of the problems' times; ok only if every problem's plan is correct. A plan is measured twice when it
  // is first met: it has to be correct both times, and the slower time counts, so that luck does not.
  Evaluation operator()(const Point& point);

  // How many times as long as when planned as `other` says the problem takes that loses the most. Both are correct.
  double WorstRatio(const Point& point, const Point& other);

  // Measures all anew from now on: what won a search was also lucky, and has to show its time again.
  void Forget() { known_.clear(); }

  // How many plans were measured since.
  size_t measured() const { return known_.size(); }

 private:
  const Evaluation& Known(size_t problem, const PlanKey& plan);

  size_t problems_;
  PlanOf plan_of_;
  Measure measure_;
  std::map<std::pair<size_t, PlanKey>, Evaluation> known_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLAN_COST_H_
