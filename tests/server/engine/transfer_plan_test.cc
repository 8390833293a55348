#include "server/engine/transfer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "server/engine/host_arena.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kUnit = HostArena::kAlignment;

// Over what another plan left.
TransferPlan Plan(absl::Span<const HostSpan> tensors, size_t begin_bytes) {
  TransferPlan plan = {.transfers = {{}}, .device_offsets_bytes = {1, 2, 3}, .end_bytes = 4};
  PlanTransfers(tensors, begin_bytes, plan);
  return plan;
}

class TransferPlanTest : public testing::Test {
 protected:
  HostBlock Allocate(size_t size_bytes) {
    absl::StatusOr<HostBlock> block = arena_->Allocate(size_bytes);
    EXPECT_TRUE(block.ok()) << block.status();
    return *std::move(block);
  }

  std::shared_ptr<HostArena> arena_ = *HostArena::CreatePageable(1 << 20);
};

TEST_F(TransferPlanTest, NothingTakesNothing) {
  const TransferPlan plan = Plan({}, 3 * kUnit);
  EXPECT_THAT(plan.transfers, IsEmpty());
  EXPECT_EQ(plan.end_bytes, 3 * kUnit);
}

TEST_F(TransferPlanTest, TheTensorsOfABlockCrossTogether) {
  const HostBlock block = Allocate(5 * kUnit);
  const std::vector<HostSpan> tensors = {
      {block.data(), kUnit + 1}, {block.data() + 2 * kUnit, 2 * kUnit}, {block.data() + 4 * kUnit, 7}};
  const TransferPlan plan = Plan(tensors, 0);
  ASSERT_EQ(plan.transfers.size(), 1U);
  EXPECT_EQ(plan.transfers[0].host, block.data());
  EXPECT_EQ(plan.transfers[0].size_bytes, 4 * kUnit + 7);
  EXPECT_THAT(plan.device_offsets_bytes, ElementsAre(0, 2 * kUnit, 4 * kUnit));
  EXPECT_EQ(plan.end_bytes, 5 * kUnit);
}

TEST_F(TransferPlanTest, AGapSplitsTheTransfer) {
  const HostBlock block = Allocate(6 * kUnit);
  const std::vector<HostSpan> tensors = {{block.data(), 10}, {block.data() + 3 * kUnit, 10}};
  const TransferPlan plan = Plan(tensors, kUnit + 1);
  ASSERT_EQ(plan.transfers.size(), 2U);
  EXPECT_EQ(plan.transfers[0].size_bytes, 10U);
  EXPECT_THAT(plan.device_offsets_bytes, ElementsAre(2 * kUnit, 3 * kUnit));
}

TEST_F(TransferPlanTest, WhatLiesInFrontSplitsTheTransfer) {
  const HostBlock block = Allocate(2 * kUnit);
  const std::vector<HostSpan> tensors = {{block.data() + kUnit, 10}, {block.data(), 10}};
  EXPECT_EQ(Plan(tensors, 0).transfers.size(), 2U);
}

TEST_F(TransferPlanTest, TheSameTensorTwiceGetsTwoPlaces) {
  const HostBlock block = Allocate(kUnit);
  const std::vector<HostSpan> tensors = {{block.data(), kUnit}, {block.data(), kUnit}};
  EXPECT_THAT(Plan(tensors, 0).device_offsets_bytes, ElementsAre(0, kUnit));
}

TEST_F(TransferPlanTest, EmptyTensorsAreLeftOut) {
  const HostBlock block = Allocate(2 * kUnit);
  const std::vector<HostSpan> tensors = {{nullptr, 0}, {block.data(), 1}, {nullptr, 0}, {block.data() + kUnit, 1}};
  const TransferPlan plan = Plan(tensors, 0);
  EXPECT_EQ(plan.transfers.size(), 1U);
  EXPECT_THAT(plan.device_offsets_bytes, ElementsAre(0, 0, 0, kUnit));
}

// Random blocks with random tensors: after the copies every tensor lies whole at its offset.
TEST_F(TransferPlanTest, RandomTensorsArrive) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::vector<HostBlock> blocks;
    std::vector<HostSpan> tensors;
    size_t bound_bytes = 0;
    for (size_t i = 0; i < 1 + random() % 8; ++i) {
      blocks.push_back(Allocate(8 * kUnit));
      std::memset(blocks.back().data(), 0xEE, 8 * kUnit);
      for (size_t unit = random() % 3; unit < 8; unit += 2) {
        tensors.push_back({blocks.back().data() + unit * kUnit, random() % (2 * kUnit + 1)});
        bound_bytes += tensors.back().size_bytes + kUnit;
        std::memset(tensors.back().data, static_cast<int>(tensors.size()), tensors.back().size_bytes);
      }
    }
    const TransferPlan plan = Plan(tensors, 0);
    ASSERT_LE(plan.end_bytes, bound_bytes);
    std::vector<std::byte> device(plan.end_bytes);
    for (const Transfer& t : plan.transfers) {
      ASSERT_EQ(t.device_offset_bytes % kUnit, 0U);
      std::memcpy(device.data() + t.device_offset_bytes, t.host, t.size_bytes);
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::byte* placed = device.data() + plan.device_offsets_bytes[i];
      ASSERT_TRUE(std::equal(placed, placed + tensors[i].size_bytes, tensors[i].data)) << "tensor " << i;
    }
  }
}

}  // namespace
}  // namespace flashcore
