#include "bench/tune/plan_table.h"

#include <gtest/gtest.h>

namespace flashcore::bench {
namespace {

TEST(PlanTableTest, AveragesGainsGeometrically) {
  EXPECT_DOUBLE_EQ(MeanGain({}), 1.0);
  const std::vector<TunedEntry> entries = {{"a", {}, {}, 5.0, 20.0}, {"b", {}, {}, 8.0, 8.0}};
  EXPECT_DOUBLE_EQ(MeanGain(entries), 2.0);
}

TEST(PlanTableTest, WritesAggregates) {
  PlanTable table;
  table.provenance = "A GPU, 2026-01-02, seed 42";
  table.key_names = {"head_dim", "causal"};
  table.dimensions = {"rows", "keys", "splits"};
  table.entries = {{"1,8,512,64", {64, 0}, {64, 128, 2}, 5.0, 10.0}};
  EXPECT_EQ(ToSource(table),
            "// Written by flashcore_tune; run it again rather than edit this. A GPU, 2026-01-02, seed 42.\n"
            "// Faster than the plan without this table by 2.000 (geometric mean).\n"
            "// head_dim, causal, rows, keys, splits\n"
            "// clang-format off\n"
            "{64, 0, 64, 128, 2},  // 1,8,512,64: 5.00 us, 2.000 times as fast\n"
            "// clang-format on\n");
}

}  // namespace
}  // namespace flashcore::bench
