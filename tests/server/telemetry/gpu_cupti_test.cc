// What the server would sample on the chips that it is for, asked of CUPTI itself. Needs CUPTI, but no GPU and no
// driver.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/gpu/cupti.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CuptiPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::Status status = PlanCuptiCounters("GH100").status();
    if (absl::IsUnavailable(status) || absl::IsFailedPrecondition(status)) GTEST_SKIP() << "no CUPTI here: " << status;
  }
};

TEST_F(CuptiPlanTest, TheL4sChipIsSampledInOnePassByItsNewName) {
  const auto plan = PlanCuptiCounters("AD104");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->passes, 1U);
  EXPECT_THAT(plan->metrics, ElementsAre(StartsWith("sm__pipe_tensor_cycles_active_v2.avg.pct_of_peak"),
                                         StartsWith("sm__cycles_active.avg.pct_of_peak"),
                                         StartsWith("dram__throughput.avg.pct_of_peak")));
}

TEST_F(CuptiPlanTest, TheH100sChipIsSampledInOnePassByTheOldName) {
  const auto plan = PlanCuptiCounters("GH100");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->passes, 1U);
  EXPECT_THAT(plan->metrics, ElementsAre(StartsWith("sm__pipe_tensor_cycles_active.avg.pct_of_peak"),
                                         StartsWith("sm__cycles_active.avg.pct_of_peak"),
                                         StartsWith("dram__throughput.avg.pct_of_peak")));
}

TEST_F(CuptiPlanTest, AChipWithoutDramOfItsOwnGoesWithout) {
  const auto plan = PlanCuptiCounters("GA10B");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->passes, 1U);
  EXPECT_EQ(plan->metrics.size(), 2U);
}

TEST_F(CuptiPlanTest, WhatTakesTwoPassesIsNotTaken) {
  const absl::Status status = PlanCuptiCounters("TU104").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 passes"));
}

TEST_F(CuptiPlanTest, AnUnknownChipIsAStatus) {
  EXPECT_EQ(PlanCuptiCounters("ZX80").status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(CuptiPlanTest, WithoutADriverTheSourceRefusesToStart) {
  const auto source = CreateCuptiSource(/*device_ordinal=*/63);
  EXPECT_EQ(source->name(), "cupti");
  EXPECT_FALSE(source->Start().ok());
}

}  // namespace
}  // namespace flashcore
