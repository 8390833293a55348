#include "server/rpc/copy_helper.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
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

  void Run(CopyHelper& helper) {
    std::fill(to_.begin(), to_.end(), std::byte{0});
    helper.Copy(pieces_);
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

class CopyHelperTest : public testing::TestWithParam<int> {
 protected:
  CopyHelper helper_{GetParam()};
};

TEST_P(CopyHelperTest, CopiesEverything) {
  for (const size_t size_bytes :
       {size_t{0}, size_t{1000}, kLeastBytesToShare - 1, kLeastBytesToShare, size_t{3} << 20}) {
    Copy copy(size_bytes, /*seed=*/1);
    for (int i = 0; i < 20; ++i) {
      copy.Run(helper_);
      ASSERT_TRUE(copy.IsRight()) << size_bytes;
    }
  }
}

TEST_P(CopyHelperTest, ForSeveralAtOnce) {
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      Copy copy(kLeastBytesToShare + seed, seed);
      for (int i = 0; i < 50; ++i) {
        copy.Run(helper_);
        ASSERT_TRUE(copy.IsRight());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(WithAndWithout, CopyHelperTest, testing::Values(kLeastCpusForHelper, kLeastCpusForHelper - 1));

}  // namespace
}  // namespace flashcore
