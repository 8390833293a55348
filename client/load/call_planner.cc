#include "client/load/call_planner.h"

namespace flashcore {

bool CallPlanner::Draw(double probability) {
  return probability > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

CallPlan CallPlanner::Next() {
  CallPlan plan{.request = &workload_.Pick(random_), .keep_answer = false, .cancel_after = {}};
  plan.keep_answer = plan.request->expected.has_value() && Draw(options_.verify_fraction);
  if (Draw(options_.cancel_fraction)) {
    plan.cancel_after = std::uniform_real_distribution<double>(0, 1)(random_) * options_.cancel_within;
  }
  return plan;
}

}  // namespace flashcore
