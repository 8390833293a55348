#include "server/rpc/copy_helpers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

// Bytes, and pieces of many lengths that copy them.
class Copy {
 public:
  Copy(size_t size_bytes, uint32_t seed) : from_(size_bytes), to_(size_bytes) {
    std::mt19937 random(seed);
    for (char& byte : from_) byte = static_cast<char>(random());
    for (size_t begin = 0; begin < size_bytes;) {
      const size_t piece_bytes = std::min<size_t>(random() % kPieceBytes, size_bytes - begin);
      pieces_.push_back({&from_[begin], &to_[begin], piece_bytes});
      begin += piece_bytes;
    }
  }

  void Run(CopyHelpers& helpers) {
    std::fill(to_.begin(), to_.end(), std::byte{0});
    helpers.Copy(pieces_);
  }
  bool IsRight() const {
    return std::equal(from_.begin(), from_.end(), to_.begin(), to_.end(),
                      [](char from, std::byte to) { return static_cast<std::byte>(from) == to; });
  }

 private:
  std::vector<char> from_;
  std::vector<std::byte> to_;
  std::vector<CopyPiece> pieces_;
};

class CopyHelpersTest : public testing::TestWithParam<std::tuple<int, int64_t>> {
 protected:
  CopyHelpers helpers_{std::get<0>(GetParam()), std::get<1>(GetParam())};
};

TEST_P(CopyHelpersTest, CopiesEverything) {
  for (const size_t size_bytes :
       {size_t{0}, size_t{1000}, kLeastBytesToShare - 1, kLeastBytesToShare, size_t{3} << 20}) {
    Copy copy(size_bytes, /*seed=*/1);
    for (int i = 0; i < 5; ++i) {
      copy.Run(helpers_);
      ASSERT_TRUE(copy.IsRight()) << size_bytes;
    }
  }
}

TEST_P(CopyHelpersTest, ForSeveralAtOnce) {
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      Copy copy(kLeastBytesToShare + seed, seed);
      for (int i = 0; i < 15; ++i) {
        copy.Run(helpers_);
        ASSERT_TRUE(copy.IsRight());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

constexpr int64_t kPollNs = 100'000;

INSTANTIATE_TEST_SUITE_P(HelpersAndPolling, CopyHelpersTest,
                         testing::Values(std::tuple(0, 0), std::tuple(1, 0), std::tuple(1, kPollNs), std::tuple(3, 0),
                                         std::tuple(3, kPollNs)));

TEST(CopyHelperCountTest, ByCpus) {
  EXPECT_EQ(CopyHelperCount(1), 0);
  EXPECT_EQ(CopyHelperCount(7), 0);
  EXPECT_EQ(CopyHelperCount(8), 1);
  EXPECT_EQ(CopyHelperCount(16), 3);
  EXPECT_EQ(CopyHelperCount(96), 3);
}

}  // namespace
}  // namespace flashcore
