#include "server/scheduler/fair_limit.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr int64_t kCapacity = 1024;

// Fills up with unit claims of the connections in turn, until none gets anything more; what each then holds.
std::vector<int64_t> FillUp(size_t connections, Priority priority, int64_t capacity = kCapacity) {
  std::vector<int64_t> held(connections);
  int64_t taken = 0;
  for (bool progress = true; progress;) {
    progress = false;
    for (int64_t& mine : held) {
      const Verdict verdict =
          Judge({.capacity = capacity, .taken = taken, .held = mine, .wanted = 1, .priority = priority});
      if (verdict != Verdict::kFree) continue;
      ++mine;
      ++taken;
      progress = true;
    }
  }
  return held;
}

TEST(FairLimitTest, OneConnectionFillsSevenEighths) {
  EXPECT_EQ(FillUp(1, Priority::kHigh)[0], kCapacity * 7 / 8);
  EXPECT_EQ(FillUp(1, Priority::kNormal)[0], kCapacity * 15 / 16 * 7 / 8);
  EXPECT_EQ(FillUp(1, Priority::kLow)[0], kCapacity / 2 * 7 / 8);
}

TEST(FairLimitTest, SeveralShareEquallyAndLeaveSomething) {
  for (const size_t connections : {2, 3, 7, 50}) {
    const std::vector<int64_t> held = FillUp(connections, Priority::kHigh);
    int64_t taken = 0;
    for (const int64_t mine : held) {
      EXPECT_NEAR(static_cast<double>(mine), static_cast<double>(held[0]), 1) << connections;
      taken += mine;
    }
    EXPECT_LT(taken, kCapacity) << connections;
    EXPECT_EQ(Judge({.capacity = kCapacity, .taken = taken, .held = 0, .wanted = 1, .priority = Priority::kHigh}),
              Verdict::kFree)
        << connections << ": the next connection";
  }
}

TEST(FairLimitTest, FewPlacesAreAllForEverybody) {
  EXPECT_EQ(FillUp(1, Priority::kNormal, 7)[0], 7);
  EXPECT_EQ(FillUp(1, Priority::kLow, 1)[0], 1);
}

TEST(FairLimitTest, WhatIsClosedToOthersIsOpenToHigherPriorities) {
  const auto judge = [](int64_t taken, Priority priority) {
    return Judge({.capacity = kCapacity, .taken = taken, .held = 0, .wanted = 1, .priority = priority});
  };
  EXPECT_EQ(judge(kCapacity / 2 - 1, Priority::kLow), Verdict::kFree);
  EXPECT_EQ(judge(kCapacity / 2, Priority::kLow), Verdict::kFull);
  EXPECT_EQ(judge(kCapacity / 2, Priority::kNormal), Verdict::kFree);
  EXPECT_EQ(judge(kCapacity * 15 / 16, Priority::kNormal), Verdict::kFull);
  EXPECT_EQ(judge(kCapacity - 1, Priority::kHigh), Verdict::kFree);
  EXPECT_EQ(judge(kCapacity, Priority::kHigh), Verdict::kFull);
}

TEST(FairLimitTest, AnIdleServerTakesWhateverFits) {
  EXPECT_EQ(Judge({.capacity = 10, .taken = 0, .held = 0, .wanted = 10, .priority = Priority::kLow}), Verdict::kFree);
  EXPECT_EQ(Judge({.capacity = 10, .taken = 0, .held = 0, .wanted = 11, .priority = Priority::kHigh}), Verdict::kFull);
}

TEST(FairLimitTest, TooMuchHeldIsNotTheSameAsFull) {
  EXPECT_EQ(Judge({.capacity = 80, .taken = 70, .held = 70, .wanted = 1, .priority = Priority::kHigh}),
            Verdict::kOverShare);
  EXPECT_EQ(Judge({.capacity = 80, .taken = 70, .held = 69, .wanted = 1, .priority = Priority::kHigh}), Verdict::kFree);
  EXPECT_EQ(Judge({.capacity = 80, .taken = 70, .held = 70, .wanted = 11, .priority = Priority::kHigh}),
            Verdict::kFull);
}

}  // namespace
}  // namespace flashcore
