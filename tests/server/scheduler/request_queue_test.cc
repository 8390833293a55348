// What requests take of a batch. How the queue hands them out: batching_test.cc, gathering_test.cc, ending_test.cc.
#include "server/scheduler/request_queue.h"

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr BatchSize kBudget = {.requests = 4, .bytes = 100, .flops = 1000};

TEST(BatchSizeTest, IsASum) {
  BatchSize size = {.requests = 1, .bytes = 10, .flops = 100};
  size.Add({.requests = 2, .bytes = 20, .flops = 200});
  EXPECT_EQ(size.requests, 3);
  EXPECT_EQ(size.bytes, 30);
  EXPECT_EQ(size.flops, 300);
  size.Subtract({.requests = 1, .bytes = 10, .flops = 100});
  EXPECT_EQ(size.requests, 2);
  EXPECT_EQ(size.bytes, 20);
  EXPECT_EQ(size.flops, 200);
}

TEST(BatchSizeTest, NothingTakesNoFlopsWhateverTheRounding) {
  BatchSize size = {.requests = 1, .bytes = 1, .flops = 0.1};
  size.Add({.requests = 1, .bytes = 1, .flops = 0.2});
  size.Subtract({.requests = 1, .bytes = 1, .flops = 0.1});
  size.Subtract({.requests = 1, .bytes = 1, .flops = 0.2});
  EXPECT_EQ(size.flops, 0);
}

TEST(BatchSizeTest, AnyBudgetThatIsReachedFillsIt) {
  EXPECT_FALSE((BatchSize{.requests = 3, .bytes = 99, .flops = 999}).Fills(kBudget));
  EXPECT_TRUE((BatchSize{.requests = 4, .bytes = 1, .flops = 1}).Fills(kBudget));
  EXPECT_TRUE((BatchSize{.requests = 1, .bytes = 100, .flops = 1}).Fills(kBudget));
  EXPECT_TRUE((BatchSize{.requests = 1, .bytes = 1, .flops = 1000}).Fills(kBudget));
}

TEST(BatchSizeTest, RoomEndsWhereAnyBudgetIsPassed) {
  const BatchSize batch = {.requests = 3, .bytes = 60, .flops = 600};
  EXPECT_TRUE(batch.HasRoomFor({.requests = 1, .bytes = 40, .flops = 400}, kBudget));
  EXPECT_FALSE(batch.HasRoomFor({.requests = 2, .bytes = 1, .flops = 1}, kBudget));
  EXPECT_FALSE(batch.HasRoomFor({.requests = 1, .bytes = 41, .flops = 1}, kBudget));
  EXPECT_FALSE(batch.HasRoomFor({.requests = 1, .bytes = 1, .flops = 401}, kBudget));
  EXPECT_TRUE(BatchSize().HasRoomFor({.requests = 1, .bytes = 101, .flops = 1001}, kBudget)) << "whoever is alone";
}

TEST(BatchSizeTest, ARequestCostsTheGreatestOfItsShares) {
  EXPECT_EQ((BatchSize{.requests = 2, .bytes = 10, .flops = 100}).ShareOf(kBudget), 0.5);
  EXPECT_EQ((BatchSize{.requests = 1, .bytes = 75, .flops = 100}).ShareOf(kBudget), 0.75);
  EXPECT_EQ((BatchSize{.requests = 1, .bytes = 10, .flops = 1500}).ShareOf(kBudget), 1.5);
}

}  // namespace
}  // namespace flashcore
