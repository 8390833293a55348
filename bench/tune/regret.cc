#include "bench/tune/regret.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/tune/plan_space.h"

namespace flashcore::bench {

Regret RegretOf(absl::Span<const Observation> plans, const CostTable& costs) {
  struct Found {
    PlanChoice choice;
    double chosen_us = std::numeric_limits<double>::infinity();  // As predicted.
    double best_us = std::numeric_limits<double>::infinity();
  };
  std::vector<Found> problems;
  for (size_t i = 0; i < plans.size(); ++i) {
    problems.resize(std::max(problems.size(), plans[i].problem + 1));
    Found& found = problems[plans[i].problem];
    const double predicted_us = PredictUs(costs, plans[i]);
    if (predicted_us < found.chosen_us) {
      found.chosen_us = predicted_us;
      found.choice.chosen = i;
    }
    if (plans[i].us < found.best_us) {
      found.best_us = plans[i].us;
      found.choice.best = i;
    }
  }
  Regret regret;
  double sum = 0.0;
  for (Found& found : problems) {
    found.choice.ratio = plans[found.choice.chosen].us / plans[found.choice.best].us;
    sum += found.choice.ratio;
    regret.choices.push_back(found.choice);
  }
  if (regret.choices.empty()) return regret;
  std::stable_sort(regret.choices.begin(), regret.choices.end(),
                   [](const PlanChoice& a, const PlanChoice& b) { return a.ratio > b.ratio; });
  constexpr size_t kTwentieths = 20;
  regret.mean = sum / static_cast<double>(regret.choices.size());
  regret.percentile_95 = regret.choices[regret.choices.size() / kTwentieths].ratio;
  regret.most = regret.choices.front().ratio;
  return regret;
}

std::string ToString(const Regret& regret) {
  return absl::StrFormat("%.4f in the mean, %.3f at the 95th percentile, %.2f at most, over %d problems", regret.mean,
                         regret.percentile_95, regret.most, regret.choices.size());
}

std::string WorstChoices(const Regret& regret, absl::Span<const PlanTiming> timings, size_t count) {
  const auto plan = [](const PlanTiming& timing) {
    const std::string splits = absl::StrCat(ToString(timing.kind), " x ", timing.cut.splits);
    return timing.cut.whole_tiles == 0
               ? absl::StrFormat("%s, %.1f us", splits, timing.us)
               : absl::StrFormat("%s after %d whole, %.1f us", splits, timing.cut.whole_tiles, timing.us);
  };
  std::string text;
  for (const PlanChoice& choice : absl::MakeConstSpan(regret.choices).subspan(0, count)) {
    const PlanTiming& best = timings[choice.best];
    absl::StrAppendFormat(&text, "  %.2f  %s on %d SMs: chosen %s, best %s\n", choice.ratio, ToString(best.problem),
                          best.device.multiprocessors, plan(timings[choice.chosen]), plan(best));
  }
  return text;
}

}  // namespace flashcore::bench
