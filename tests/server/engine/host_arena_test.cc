#include "server/engine/host_arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace flashcore {
namespace {

constexpr size_t kUnit = HostArena::kAlignment;

std::shared_ptr<HostArena> MakeArena(size_t capacity_bytes) {
  absl::StatusOr<std::shared_ptr<HostArena>> arena = HostArena::CreatePageable(capacity_bytes);
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *std::move(arena);
}

HostBlock MustAllocate(HostArena& arena, size_t size_bytes) {
  absl::StatusOr<HostBlock> block = arena.Allocate(size_bytes);
  EXPECT_TRUE(block.ok()) << block.status();
  return *std::move(block);
}

TEST(HostArenaTest, GivesAlignedBlocksOfTheSizeAskedFor) {
  const auto arena = MakeArena(64 * kUnit);
  for (const size_t size_bytes : {size_t{1}, size_t{2}, kUnit - 1, kUnit, kUnit + 1}) {
    const HostBlock block = MustAllocate(*arena, size_bytes);
    EXPECT_EQ(block.size_bytes(), size_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % kUnit, 0U);
    std::memset(block.data(), 0xA5, size_bytes);
  }
  EXPECT_EQ(arena->used_bytes(), 0U);
}

TEST(HostArenaTest, CountsWholeUnits) {
  const auto arena = MakeArena(64 * kUnit);
  const HostBlock one = MustAllocate(*arena, 1);
  EXPECT_EQ(arena->used_bytes(), kUnit);
  const HostBlock two = MustAllocate(*arena, kUnit + 1);
  EXPECT_EQ(arena->used_bytes(), 3 * kUnit);
}

TEST(HostArenaTest, CountsBlocksInTheirAccount) {
  const auto arena = MakeArena(64 * kUnit);
  const auto account = std::make_shared<MemoryAccount>();
  const auto allocate = [&](size_t size_bytes) { return *arena->Allocate(size_bytes, account); };
  HostBlock one = allocate(1);
  HostBlock moved = allocate(kUnit + 1);
  const HostBlock others = MustAllocate(*arena, kUnit);
  EXPECT_EQ(account->used_bytes(), 3 * kUnit);
  one = std::move(moved);
  EXPECT_EQ(account->used_bytes(), 2 * kUnit);
  one = HostBlock();
  EXPECT_EQ(account->used_bytes(), 0U);
  EXPECT_FALSE(arena->Allocate(65 * kUnit, account).ok());
  EXPECT_EQ(account->used_bytes(), 0U);
  EXPECT_EQ(account.use_count(), 1) << "blocks let go of it";
}

TEST(HostArenaTest, AnEmptyBlockTakesNothing) {
  const auto arena = MakeArena(kUnit);
  const HostBlock empty = MustAllocate(*arena, 0);
  EXPECT_EQ(empty.data(), nullptr);
  EXPECT_EQ(empty.size_bytes(), 0U);
  EXPECT_EQ(arena->used_bytes(), 0U);
}

TEST(HostArenaTest, TheWholeCapacityCanBeTakenAndNoMore) {
  const auto arena = MakeArena(4 * kUnit);
  EXPECT_EQ(arena->capacity_bytes(), 4 * kUnit);
  const HostBlock all = MustAllocate(*arena, 4 * kUnit);
  EXPECT_EQ(arena->Allocate(1).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(HostArenaTest, RefusesWhatCouldNeverFit) {
  const auto arena = MakeArena(4 * kUnit);
  for (const size_t size_bytes : {4 * kUnit + 1, std::numeric_limits<size_t>::max(),
                                  std::numeric_limits<size_t>::max() - kUnit, std::numeric_limits<size_t>::max() / 2}) {
    EXPECT_EQ(arena->Allocate(size_bytes).status().code(), absl::StatusCode::kResourceExhausted) << size_bytes;
  }
  EXPECT_EQ(arena->used_bytes(), 0U);
}

TEST(HostArenaTest, RefusesAnImpossibleCapacity) {
  EXPECT_EQ(HostArena::CreatePageable(0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HostArena::CreatePageable(std::numeric_limits<size_t>::max()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HostArena::CreatePageable(size_t{1} << 60).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(HostArenaTest, TakesTheShortestStretchThatFits) {
  const auto arena = MakeArena(16 * kUnit);
  std::optional<HostBlock> long_hole = MustAllocate(*arena, 5 * kUnit);
  const HostBlock wall = MustAllocate(*arena, kUnit);
  std::optional<HostBlock> short_hole = MustAllocate(*arena, 2 * kUnit);
  const HostBlock other_wall = MustAllocate(*arena, kUnit);
  std::byte* const short_hole_data = short_hole->data();
  long_hole.reset();
  short_hole.reset();

  const HostBlock block = MustAllocate(*arena, 2 * kUnit);
  EXPECT_EQ(block.data(), short_hole_data);
}

// Frees three neighbours in every order; each time the middle stretch must grow back into one.
TEST(HostArenaTest, NeighboursCoalesceInEveryOrder) {
  const std::vector<std::vector<int>> orders = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  const auto arena = MakeArena(6 * kUnit);
  for (const auto& order : orders) {
    std::vector<HostBlock> blocks;
    blocks.reserve(order.size());
    for (size_t i = 0; i < order.size(); ++i) blocks.push_back(MustAllocate(*arena, 2 * kUnit));
    EXPECT_FALSE(arena->Allocate(1).ok());
    for (const int i : order) blocks[static_cast<size_t>(i)] = HostBlock();
    EXPECT_EQ(arena->used_bytes(), 0U);
    const HostBlock all = MustAllocate(*arena, 6 * kUnit);
  }
}

TEST(HostArenaTest, MovingABlockMovesItsOwnership) {
  const auto arena = MakeArena(4 * kUnit);
  HostBlock first = MustAllocate(*arena, kUnit);
  std::byte* const data = first.data();
  HostBlock second = std::move(first);
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT: the moved-from state is what is tested.
  EXPECT_EQ(arena->used_bytes(), kUnit);
  HostBlock third = MustAllocate(*arena, 2 * kUnit);
  third = std::move(second);
  EXPECT_EQ(arena->used_bytes(), kUnit);
  EXPECT_EQ(third.data(), data);
}

TEST(HostArenaTest, ABlockKeepsTheArenaAlive) {
  bool freed = false;
  std::vector<std::byte> storage(3 * kUnit);
  void* aligned = storage.data();
  size_t space = storage.size();
  ASSERT_NE(std::align(kUnit, 2 * kUnit, aligned, space), nullptr);
  HostArena::Region region(static_cast<std::byte*>(aligned), [&freed](std::byte*) { freed = true; });
  auto arena = HostArena::CreateOver(std::move(region), 2 * kUnit + 7);
  EXPECT_EQ(arena->capacity_bytes(), 2 * kUnit);
  {
    const HostBlock block = MustAllocate(*arena, 2 * kUnit);
    arena.reset();
    EXPECT_FALSE(freed);
    std::memset(block.data(), 0, block.size_bytes());
  }
  EXPECT_TRUE(freed);
}

// A plain model of the arena's books: which units are taken.
class Model {
 public:
  explicit Model(size_t units) : taken_(units, false) {}

  // False if one of them already was what it is to become.
  bool Set(size_t offset_bytes, size_t size_bytes, bool taken) {
    for (size_t unit = offset_bytes / kUnit; unit < (offset_bytes + size_bytes + kUnit - 1) / kUnit; ++unit) {
      if (taken_[unit] == taken) return false;
      taken_[unit] = taken;
    }
    return true;
  }

  size_t LongestFreeBytes() const {
    size_t longest = 0;
    size_t run = 0;
    for (const bool taken : taken_) {
      run = taken ? 0 : run + 1;
      longest = std::max(longest, run);
    }
    return longest * kUnit;
  }

  size_t UsedBytes() const { return static_cast<size_t>(std::count(taken_.begin(), taken_.end(), true)) * kUnit; }

 private:
  std::vector<bool> taken_;
};

struct Live {
  HostBlock block;
  size_t offset_bytes;
  unsigned char pattern;
};

bool HoldsPattern(const Live& live) {
  const auto pattern = static_cast<std::byte>(live.pattern);
  return std::all_of(live.block.data(), live.block.data() + live.block.size_bytes(),
                     [pattern](std::byte b) { return b == pattern; });
}

TEST(HostArenaTest, RandomUseAgreesWithAModel) {
  constexpr size_t kUnits = 64;
  constexpr int kSteps = 20000;
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  std::uniform_int_distribution<size_t> size(1, 9 * kUnit);

  const auto arena = MakeArena(kUnits * kUnit);
  std::byte* const base = MustAllocate(*arena, kUnits * kUnit).data();
  Model model(kUnits);
  std::vector<Live> live;
  for (int step = 0; step < kSteps; ++step) {
    const bool free_one = !live.empty() && random() % 2 == 0;
    if (free_one) {
      std::swap(live[random() % live.size()], live.back());
      ASSERT_TRUE(HoldsPattern(live.back())) << "step " << step;
      ASSERT_TRUE(model.Set(live.back().offset_bytes, live.back().block.size_bytes(), false)) << "step " << step;
      live.pop_back();
    } else {
      const size_t size_bytes = size(random);
      absl::StatusOr<HostBlock> block = arena->Allocate(size_bytes);
      ASSERT_EQ(block.ok(), size_bytes <= model.LongestFreeBytes()) << "step " << step << ": " << block.status();
      if (!block.ok()) continue;
      const auto offset_bytes = static_cast<size_t>(block->data() - base);
      ASSERT_TRUE(model.Set(offset_bytes, size_bytes, true)) << "step " << step;
      const auto pattern = static_cast<unsigned char>(random());
      std::memset(block->data(), pattern, size_bytes);
      live.push_back({*std::move(block), offset_bytes, pattern});
    }
    ASSERT_EQ(arena->used_bytes(), model.UsedBytes()) << "step " << step;
  }
}

TEST(HostArenaTest, ThreadsShareIt) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 5000;
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  const auto arena = MakeArena(32 * kUnit);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&arena, seed, t] {
      std::mt19937 random(seed + static_cast<unsigned>(t));
      std::vector<HostBlock> held;
      for (int step = 0; step < kSteps; ++step) {
        if (held.size() > 4) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % held.size()));
        absl::StatusOr<HostBlock> block = arena->Allocate(1 + random() % (3 * kUnit));
        if (!block.ok()) continue;
        std::memset(block->data(), t, block->size_bytes());
        held.push_back(*std::move(block));
        for (size_t i = 0; i < held.back().size_bytes(); ++i) {
          ASSERT_EQ(held.back().data()[i], static_cast<std::byte>(t));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena->used_bytes(), 0U);
  EXPECT_TRUE(arena->Allocate(32 * kUnit).ok());
}

}  // namespace
}  // namespace flashcore
