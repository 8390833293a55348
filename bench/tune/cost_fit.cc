#include "bench/tune/cost_fit.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/mutex.h"

namespace flashcore::bench {
namespace {

using cuda::TileCost;

// A constant, a guess, and the bounds between which it means something.
struct Constant {
  double TileCost::*of;
  double guess;
  double least;
  double most;
};
constexpr Constant kConstants[] = {
    {&TileCost::step, 0.4, 0.02, 20.0},
    {&TileCost::latency, 0.6, 0.05, 20.0},
    {&TileCost::cta, 3.5, 0.5, 12.0},
    {&TileCost::merge, 1.5, 0.05, 8.0},
    {&TileCost::merge_share, 0.5, 0.05, 4.0},
    {&TileCost::masked_step, 0.3, 0.02, 2.5},
    {&TileCost::masked_latency, 0.3, 0.02, 2.5},
    {&TileCost::capped, 1.5, 1.0, 4.0},
};
static_assert(sizeof(TileCost) == std::size(kConstants) * sizeof(double));

// How much of a head_dim's loss its errors are, next to what its choices cost.
constexpr double kErrorWeight = 0.3;
// Plans are told apart that are predicted to differ by this much (of a logarithm).
constexpr double kTemperature = 0.03;
constexpr double kMostRatio = 3.0;
// One timing that is quite wrong should not bend the rest.
constexpr double kMostError = 1.5;

// A CTA alone has a step done no sooner than a multiprocessor full of them, and a few of them fill it.
constexpr double kMostOverlap = 4.0;

// Distributions of the standard library differ between implementations; these do not.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double Uniform() { return std::ldexp(static_cast<double>(engine_() >> 11), -53); }
  double Normal() { return std::sqrt(-2.0 * std::log(1.0 - Uniform())) * std::cos(2.0 * std::numbers::pi * Uniform()); }

 private:
  std::mt19937_64 engine_;
};

// Each constant is moved with probability `rate`, by a factor of some e^`scale`.
TileCost Moved(const TileCost& from, double rate, double scale, Random& random) {
  TileCost to = from;
  for (const Constant& constant : kConstants) {
    if (random.Uniform() >= rate) continue;
    double& value = to.*constant.of;
    value = std::clamp(value * std::exp(scale * random.Normal()), constant.least, constant.most);
  }
  to.step = std::clamp(to.step, to.latency / kMostOverlap, to.latency);
  return to;
}

double Weight(const Observation& plan) {
  constexpr double kFalloff = 1.5;
  return std::pow(plan.best_us / plan.us, kFalloff);
}

double Error(double predicted_us, const Observation& plan) {
  return std::min(std::abs(std::log(predicted_us / plan.us)), kMostError);
}

using Plans = std::vector<Observation>;

double MeanError(const TileCosts& costs, const Plans& plans) {
  double sum = 0.0;
  double weights = 0.0;
  for (const Observation& plan : plans) {
    sum += Weight(plan) * Error(PredictUs(costs, plan), plan);
    weights += Weight(plan);
  }
  return weights == 0.0 ? 0.0 : sum / weights;
}

// What the choices cost, in the mean over problems, as a smooth function of the constants: each plan is chosen the more
// often, the faster it is predicted to be. 0 is the best.
double ChoiceLoss(const TileCosts& costs, const std::vector<Plans>& problems) {
  double sum = 0.0;
  std::vector<double> predicted;
  for (const Plans& plans : problems) {
    predicted.clear();
    double least = std::numeric_limits<double>::infinity();
    for (const Observation& plan : plans) {
      predicted.push_back(std::log(PredictUs(costs, plan)));
      least = std::min(least, predicted.back());
    }
    double chances = 0.0;
    double ratios = 0.0;
    for (size_t i = 0; i < plans.size(); ++i) {
      const double chance = std::exp((least - predicted[i]) / kTemperature);
      chances += chance;
      ratios += chance * std::min(plans[i].us / plans[i].best_us, kMostRatio);
    }
    sum += ratios / chances - 1.0;
  }
  return sum / static_cast<double>(problems.size());
}

// From `at` downhill, by `moved(at, progress)` with progress from 0 to 1; what is better stays.
template <typename Loss, typename Move>
double Descend(int steps, const Loss& loss, const Move& moved, TileCosts& at) {
  double best = loss(at);
  for (int step = 0; step < steps; ++step) {
    const TileCosts to = moved(at, static_cast<double>(step) / steps);
    const double found = loss(to);
    if (found >= best) continue;
    best = found;
    at = to;
  }
  return best;
}

TileCost Guess() {
  TileCost guess = {};
  for (const Constant& constant : kConstants) guess.*constant.of = constant.guess;
  return guess;
}

// One kind, by its errors alone.
TileCost FitKind(const Plans& plans, size_t kind, const FitOptions& options) {
  constexpr double kRate = 0.4;
  constexpr double kStartScale = 0.5;
  constexpr double kFirstScale = 0.5;
  constexpr double kLastShare = 0.02;
  Random random(options.seed);
  const auto loss = [&](const TileCosts& costs) { return MeanError(costs, plans); };
  const auto moved = [&](TileCosts costs, double progress) {
    costs[kind] = Moved(costs[kind], kRate, kFirstScale * std::pow(kLastShare, progress), random);
    return costs;
  };
  TileCosts best = {};
  double best_loss = std::numeric_limits<double>::infinity();
  for (int start = 0; start < options.starts; ++start) {
    TileCosts at = {};
    at[kind] = Moved(Guess(), 1.0, kStartScale, random);
    const double found = Descend(options.steps, loss, moved, at);
    if (found >= best_loss) continue;
    best_loss = found;
    best = at;
  }
  return best[kind];
}

// All kinds, by their errors and what they choose.
void FitTogether(const Plans& plans, const FitOptions& options, TileCosts& costs) {
  constexpr double kKindRate = 0.5;
  constexpr double kRate = 0.25;
  constexpr double kFirstScale = 0.2;
  constexpr double kLastShare = 0.05;
  std::vector<Plans> problems;
  for (const Observation& plan : plans) {
    if (problems.empty() || problems.back().front().problem != plan.problem) problems.emplace_back();
    problems.back().push_back(plan);
  }
  Random random(options.seed);
  const auto loss = [&](const TileCosts& at) { return ChoiceLoss(at, problems) + kErrorWeight * MeanError(at, plans); };
  const auto moved = [&](TileCosts at, double progress) {
    for (TileCost& cost : at) {
      if (random.Uniform() < kKindRate) cost = Moved(cost, kRate, kFirstScale * std::pow(kLastShare, progress), random);
    }
    return at;
  };
  Descend(options.steps, loss, moved, costs);
}

// `plans` are of one head_dim, those of a problem side by side.
void FitHeadDim(const Plans& plans, const FitOptions& options, TileCosts& costs) {
  if (plans.empty()) return;
  for (size_t kind = 0; kind < costs.size(); ++kind) {
    Plans of_kind;
    std::copy_if(plans.begin(), plans.end(), std::back_inserter(of_kind),
                 [kind](const Observation& plan) { return static_cast<size_t>(plan.kind) == kind; });
    if (!of_kind.empty()) costs[kind] = FitKind(of_kind, kind, options);
  }
  FitTogether(plans, options, costs);
}

}  // namespace

CostTable FitCosts(absl::Span<const Observation> plans, const CostTable& before, const FitOptions& options,
                   const std::function<void(const FittedHeadDim&)>& progress) {
  std::array<Plans, std::size(cuda::kNativeHeadDims)> of_head_dim;
  for (const Observation& plan : plans) of_head_dim[plan.native].push_back(plan);
  for (Plans& one : of_head_dim) {
    std::stable_sort(one.begin(), one.end(),
                     [](const Observation& a, const Observation& b) { return a.problem < b.problem; });
  }
  CostTable table = before;
  std::atomic<size_t> next = 0;
  Mutex mutex;
  const auto work = [&] {
    for (size_t native = next++; native < table.size(); native = next++) {
      FitHeadDim(of_head_dim[native], options, table[native]);
      const MutexLock lock(mutex);
      progress(
          {cuda::kNativeHeadDims[native], of_head_dim[native].size(), MeanError(table[native], of_head_dim[native])});
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < options.threads; ++thread) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return table;
}

}  // namespace flashcore::bench
