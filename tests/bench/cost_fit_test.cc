#include "bench/tune/cost_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "bench/tune/regret.h"
#include "tests/bench/tuned_problems.h"

namespace flashcore::bench {
namespace {

constexpr size_t kHeadDim64 = 1;
constexpr char kShapes[] =
    "1,8,512,64 1,8,512,64,causal 8,8,512,64 32,8,512,64 1,8,2048,64 2,32,4096,64 2,8,3000,64,causal 1,1,1024,64 "
    "1,2,4096,64 1,8,1,64,kv_len=16384 1,8,640,64,kv_len=5000 4,8,100,64,kv_len=100 2,4,1024,64,causal,soft_cap=30 "
    "1,8,512,64,soft_cap=30 1,8,1,64,kv_len=3000,soft_cap=30 1,35,512,64 1,8,4096,64,window=256:0";

// None of them like what the fit starts from.
CostTable Truth() {
  CostTable costs = CheckedInCosts();
  costs[kHeadDim64] = {{{0.9, 1.3, 5.0, 1.0, 0.3, 0.6, 0.2, 2.0},
                        {0.5, 0.8, 3.0, 2.0, 0.6, 0.3, 0.5, 1.6},
                        {0.3, 0.5, 4.5, 2.5, 0.9, 0.2, 0.7, 1.3},
                        {0.2, 0.4, 2.0, 1.5, 1.2, 0.5, 0.3, 1.2}}};
  return costs;
}

FitOptions Quick() {
  FitOptions options;
  options.starts = 2;
  options.steps = 3000;
  return options;
}

void Ignore(const FittedHeadDim& /*of*/) {}

TEST(CostFitTest, RecoversWhatTheTimingsWereMadeOf) {
  const std::vector<Observation> plans = Observe(SyntheticTimings(kShapes, Truth()));
  double error = 1.0;
  const CostTable fitted = FitCosts(plans, CheckedInCosts(), Quick(), [&error](const FittedHeadDim& of) {
    if (of.head_dim == 64) error = of.error;
  });
  EXPECT_LT(error, 0.02);
  for (const Observation& plan : plans) {
    // What is chosen is what matters; the rest counts less.
    if (plan.us > 1.3 * plan.best_us) continue;
    EXPECT_NEAR(std::log(PredictUs(fitted, plan) / plan.us), 0.0, 0.1);
  }
  for (size_t kind = 0; kind < fitted[kHeadDim64].size(); ++kind) {
    const cuda::TileCost truth = Truth()[kHeadDim64][kind];
    const cuda::TileCost& found = fitted[kHeadDim64][kind];
    EXPECT_NEAR(std::log(found.cta / truth.cta), 0.0, 0.2) << "kind " << kind;
    EXPECT_NEAR(std::log(found.latency / truth.latency), 0.0, 0.2) << "kind " << kind;
  }
  EXPECT_LT(RegretOf(plans, fitted).mean, 1.005);
  EXPECT_GT(RegretOf(plans, CheckedInCosts()).mean, RegretOf(plans, fitted).mean);
}

TEST(CostFitTest, WhatWasNotTimedStaysAsItIs) {
  const std::vector<Observation> plans = Observe(SyntheticTimings("1,8,512,64 1,8,2048,64", Truth()));
  FitOptions options = Quick();
  options.steps = 50;
  const CostTable before = CheckedInCosts();
  const CostTable fitted = FitCosts(plans, before, options, Ignore);
  for (size_t native = 0; native < before.size(); ++native) {
    for (size_t kind = 0; kind < before[native].size(); ++kind) {
      EXPECT_EQ(fitted[native][kind].latency == before[native][kind].latency, native != kHeadDim64);
    }
  }
}

TEST(CostFitTest, ThreadsAndTheOrderOfHeadDimsChangeNothing) {
  const std::vector<Observation> plans =
      Observe(SyntheticTimings("1,8,512,64 1,8,2048,64 1,8,512,32 1,8,512,128 1,8,300,256", Truth()));
  FitOptions options = Quick();
  options.steps = 50;
  const std::string alone = ToSource(FitCosts(plans, CheckedInCosts(), options, Ignore), "");
  options.threads = 4;
  EXPECT_EQ(ToSource(FitCosts(plans, CheckedInCosts(), options, Ignore), ""), alone);
  options.seed = 7;
  EXPECT_NE(ToSource(FitCosts(plans, CheckedInCosts(), options, Ignore), ""), alone);
}

}  // namespace
}  // namespace flashcore::bench
