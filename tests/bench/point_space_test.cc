#include "bench/tune/point_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace flashcore::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

Space Example() { return SpaceOf({"rows", "keys"}, {{64, 32}, {128, 64}, {64, 128}}); }

TEST(PointSpaceTest, HasTheValuesThatOccur) {
  const Space space = Example();
  ASSERT_THAT(space.dimensions, SizeIs(2));
  EXPECT_EQ(space.dimensions[0].name, "rows");
  EXPECT_THAT(space.dimensions[0].values, ElementsAre(64, 128));
  EXPECT_THAT(space.dimensions[1].values, ElementsAre(32, 64, 128));
}

TEST(PointSpaceTest, OnlyThePointsAreValid) {
  const Space space = Example();
  EXPECT_TRUE(space.valid({64, 32}));
  EXPECT_FALSE(space.valid({128, 32}));
  EXPECT_FALSE(space.valid({1, 2}));
}

TEST(PointSpaceTest, AnotherDimensionMultiplies) {
  const Space space = WithDimension(Example(), {"splits", {1, 2, 4, 8}});
  EXPECT_TRUE(space.valid({64, 32, 4}));
  EXPECT_FALSE(space.valid({128, 32, 4}));
  SearchOptions options;
  options.finalists = 1;
  const auto evaluate = [](const Point& point) { return Evaluation{true, 1000.0 / (point[1] * point[2])}; };
  const SearchResult result = Search(space, evaluate, {}, options);
  EXPECT_TRUE(result.exhaustive);
  EXPECT_THAT(result.trials, SizeIs(12));
  EXPECT_THAT(result.best->point, ElementsAre(64, 128, 8));
}

}  // namespace
}  // namespace flashcore::bench
