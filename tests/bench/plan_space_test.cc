#include "bench/tune/plan_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "bench/kernel/shape.h"
#include "kernels/cuda/fused_tuning.h"

namespace flashcore::bench {
namespace {

using ::testing::SizeIs;

constexpr cuda::DeviceLimits kL4 = {.multiprocessors = 58, .l2_bytes = int64_t{48} << 20};

std::vector<Shape> Shapes(const std::string& text) {
  const absl::StatusOr<std::vector<Shape>> shapes = ParseShapes(text);
  EXPECT_TRUE(shapes.ok()) << shapes.status();
  return *shapes;
}

TEST(PlanSpaceTest, GroupsWhatTheTableCannotTellApart) {
  const std::vector<ProblemClass> classes =
      GroupByClass(Shapes("1,8,512,64 1,8,512,64,causal 1,8,500,64 1,8,512,64,bf16 1,8,512,60 1,8,513,64"), kL4);
  ASSERT_THAT(classes, SizeIs(3));
  EXPECT_THAT(classes[0].problems, SizeIs(3));
  EXPECT_EQ(classes[0].problems[1].q_len, 500);
  EXPECT_EQ(classes[1].of.masked, 1);
  EXPECT_EQ(classes[2].problems[0].q_len, 513);
}

TEST(PlanSpaceTest, EveryKindSplitsOrNot) {
  SearchOptions options;
  options.budget = 1000;
  options.finalists = 0;
  const SearchResult all = Search(
      PlanSpace(),
      [](const Point& /*point*/) {
        return Evaluation{true, 1.0};
      },
      {}, options);
  EXPECT_TRUE(all.exhaustive);
  std::set<std::pair<int, bool>> choices;
  for (const Trial& trial : all.trials) {
    const cuda::FusedChoice choice = ChoiceOf(trial.point);
    choices.insert({static_cast<int>(choice.kind), choice.splits.ctas_per_sm != 0});
  }
  EXPECT_EQ(choices.size(), size_t{2} * cuda::kTileKinds);
}

TEST(PlanSpaceTest, EveryKindHasAPointThatSplitsNothing) {
  std::set<int> kinds;
  for (const Point& point : UnsplitPoints()) {
    EXPECT_TRUE(PlanSpace().valid(point));
    EXPECT_EQ(ChoiceOf(point).splits.ctas_per_sm, 0);
    kinds.insert(point.front());
  }
  EXPECT_EQ(kinds.size(), size_t{cuda::kTileKinds});
}

TEST(PlanSpaceTest, AClassOfOneProblemGetsAShorterOneIfItIsInTheClass) {
  std::vector<ProblemClass> classes = GroupByClass(Shapes("1,8,512,64,causal 1,8,1,64,kv_len=16384 1,8,513,64"), kL4);
  ASSERT_THAT(classes, SizeIs(3));
  for (ProblemClass& of : classes) AddRelative(of, kL4);
  ASSERT_THAT(classes[0].problems, SizeIs(2));
  EXPECT_EQ(ToString(classes[0].problems[1]), "1,8,480,64,causal");
  EXPECT_EQ(classes[0].problems[1].k_strides.head, 480 * 64);
  ASSERT_THAT(classes[1].problems, SizeIs(2));
  EXPECT_EQ(ToString(classes[1].problems[1]), "1,8,1,64,kv_len=12288");
  EXPECT_THAT(classes[2].problems, SizeIs(1));
  AddRelative(classes[0], kL4);
  EXPECT_THAT(classes[0].problems, SizeIs(2));
}

TEST(PlanSpaceTest, PredictedPointsPlanDifferentlyAndTheFirstAsTheModelDoes) {
  for (const ProblemClass& of : GroupByClass(Shapes("mission slice decode 1,8,640,64,kv_len=5000"), kL4)) {
    const std::vector<Point> points = PredictedPoints(of, kL4, 10);
    ASSERT_FALSE(points.empty());
    EXPECT_LE(points.size(), 10U);
    std::set<PlanKey> keys;
    for (const Point& point : points) {
      EXPECT_TRUE(PlanSpace().valid(point));
      keys.insert(KeyOf(cuda::PlanFusedAs(of.problems.front(), kL4, ChoiceOf(point))));
    }
    if (of.problems.size() > 1) continue;
    EXPECT_EQ(keys.size(), points.size());
    const cuda::FusedPlan first = cuda::PlanFusedAs(of.problems.front(), kL4, ChoiceOf(points.front()));
    const cuda::FusedPlan model = cuda::PlanFused(of.problems.front(), kL4, cuda::FusedTuning());
    // The space has every kind unsplit, and other numbers of splits than the model looks at.
    EXPECT_TRUE(first == model || first.splits > 1 || model.splits > 1)
        << ToString(first) << " and " << ToString(model);
  }
}

TEST(PlanSpaceTest, EveryPointIsAPlanThatCanBeLaunchedAndNamed) {
  for (const Shape& shape : Shapes("decode slice tuning 1,64,1,256,kv_heads=8,kv_len=65536 2,4,17,96,kv_len=9000")) {
    const Space space = PlanSpace();
    for (const int kind : space.dimensions[0].values) {
      for (const int ctas_per_sm : space.dimensions[1].values) {
        for (const int min_keys : space.dimensions[2].values) {
          const Point point = {kind, ctas_per_sm, min_keys};
          if (!space.valid(point)) continue;
          const cuda::FusedPlan plan = cuda::PlanFusedAs(shape, kL4, ChoiceOf(point));
          EXPECT_GE(int64_t{plan.tiles_per_unit} * plan.tile().Rows(), plan.rows_per_unit);
          const bool windowed = shape.options.window_left >= 0;
          EXPECT_GE(int64_t{plan.splits} * plan.keys_per_split, windowed ? shape.options.window_left : shape.kv_len);
          EXPECT_LE(plan.partial_floats(), cuda::kMaxPartialFloats);
          EXPECT_LE(plan.arrivals(), cuda::kMaxArrivals);
          EXPECT_EQ(PlanOf(shape, kL4, KeyOf(plan)), plan) << ToString(shape) << ": " << ToString(plan);
        }
      }
    }
  }
}

TEST(PlanSpaceTest, EveryPlanThatIsConsideredHasAName) {
  bool tails = false;
  for (const Shape& shape : Shapes("mission 8,8,512,64 2,16,2048,128 1,8,2048,64,causal")) {
    std::set<PlanKey> keys;
    for (const cuda::FusedPlan& plan : cuda::CandidatePlans(shape, kL4)) {
      tails = tails || plan.whole_tiles > 0;
      EXPECT_TRUE(keys.insert(KeyOf(plan)).second) << ToString(shape) << ": " << ToString(plan);
      EXPECT_EQ(PlanOf(shape, kL4, KeyOf(plan)), plan) << ToString(shape) << ": " << ToString(plan);
    }
  }
  EXPECT_TRUE(tails);
  const cuda::FusedPlan tail = cuda::PlanFusedWith(Shapes("2,16,2048,128").front(), kL4, cuda::TileKind::kWide, 3, 464);
  EXPECT_EQ(ToString(tail), "128-row tiles, 464 of 512 whole, 3 splits of 704 keys");
}

PlanTable Example() {
  const Shape shape = Shapes("1,8,512,64").front();
  const Point splits = {static_cast<int>(cuda::TileKind::kNarrow), 2, 512};
  const Point mid = {static_cast<int>(cuda::TileKind::kMid), 0, 64};
  return {"A GPU, 58 of 58 SMs",
          TableKeyNames(),
          ChoiceNames(),
          {{"1,8,512,64", TableKey(cuda::ClassOf(shape, kL4)), splits, 5.0, 10.0},
           {"a class of long rows", {128, 1, 11, 11, 9}, mid, 8.0, 8.8}}};
}

// What the tuner writes for the example, compiled.
constexpr cuda::TunedClass kCompiled[] = {
#include "tests/bench/example_table.inc"
};

TEST(PlanSpaceTest, ATableIsWhatThePlanReads) {
  std::ifstream file(FLASHCORE_EXAMPLE_TABLE);
  std::stringstream written;
  written << file.rdbuf();
  const PlanTable table = Example();
  EXPECT_EQ(ToSource(table), written.str());

  ASSERT_EQ(std::size(kCompiled), table.entries.size());
  for (size_t i = 0; i < table.entries.size(); ++i) {
    EXPECT_EQ(TableKey(kCompiled[i].of()), table.entries[i].key);
    const cuda::FusedChoice want = ChoiceOf(table.entries[i].choice);
    EXPECT_EQ(kCompiled[i].choice().kind, want.kind);
    EXPECT_EQ(kCompiled[i].choice().splits.ctas_per_sm, want.splits.ctas_per_sm);
    EXPECT_EQ(kCompiled[i].choice().splits.min_keys, want.splits.min_keys);
  }
}

TEST(PlanSpaceTest, AClassOfTheTableIsPlannedAsItSays) {
  const Shape shape = Shapes("1,8,512,64").front();
  cuda::FusedTuning tuning;
  tuning.classes = {kCompiled, std::size(kCompiled)};
  EXPECT_EQ(cuda::PlanFused(shape, kL4, tuning).kind, cuda::TileKind::kNarrow);
  EXPECT_NE(cuda::PlanFused(shape, kL4, cuda::FusedTuning()).kind, cuda::TileKind::kNarrow);
  const Shape other = Shapes("1,8,512,64,causal").front();
  EXPECT_EQ(cuda::PlanFused(other, kL4, tuning), cuda::PlanFused(other, kL4, cuda::FusedTuning()));
}

TEST(PlanSpaceTest, TheCheckedInTablesNameKindsThatThereAre) {
  for (const cuda::TunedClass& tuned : cuda::DefaultTuning().classes) {
    EXPECT_GT(tuned.head_dim, 0);
    EXPECT_LT(tuned.kind, cuda::kTileKinds);
    EXPECT_TRUE(PlanSpace().valid({tuned.kind, tuned.ctas_per_sm, tuned.min_keys}));
  }
}

}  // namespace
}  // namespace flashcore::bench
