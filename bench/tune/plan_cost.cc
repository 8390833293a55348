#include "bench/tune/plan_cost.h"

#include <algorithm>
#include <cmath>

namespace flashcore::bench {

const Evaluation& PlanCost::Known(size_t problem, const PlanKey& plan) {
  const auto [entry, is_new] = known_.try_emplace({problem, plan});
  Evaluation& evaluation = entry->second;
  if (!is_new) return evaluation;
  evaluation = measure_(problem, plan);
  if (!evaluation.ok) return evaluation;
  const Evaluation again = measure_(problem, plan);
  evaluation.ok = again.ok;
  evaluation.us = std::max(evaluation.us, again.us);
  return evaluation;
}

Evaluation PlanCost::operator()(const Point& point) {
  double log_sum = 0.0;
  for (size_t problem = 0; problem < problems_; ++problem) {
    const Evaluation& evaluation = Known(problem, plan_of_(problem, point));
    if (!evaluation.ok) return {};
    log_sum += std::log(evaluation.us);
  }
  return {true, problems_ == 0 ? 0.0 : std::exp(log_sum / static_cast<double>(problems_))};
}

double PlanCost::WorstRatio(const Point& point, const Point& other) {
  double worst = 0.0;
  for (size_t problem = 0; problem < problems_; ++problem) {
    worst = std::max(worst, Known(problem, plan_of_(problem, point)).us / Known(problem, plan_of_(problem, other)).us);
  }
  return worst;
}

}  // namespace flashcore::bench
