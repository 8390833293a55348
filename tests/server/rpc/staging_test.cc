#include "server/rpc/staging.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/server/rpc/wire_expectations.h"

namespace flashcore {
namespace {

TEST(Staging, CopiesAnyRangeOfAnyChunks) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::string bytes(5000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (int round = 0; round < 500; ++round) {
    const std::vector<absl::string_view> chunks = testing::Chop(bytes, random);
    const size_t offset = std::uniform_int_distribution<size_t>(0, bytes.size())(random);
    const size_t length = std::uniform_int_distribution<size_t>(0, bytes.size() - offset)(random);
    std::string copy(length + 1, '#');
    CopyRange(chunks, {offset, length}, reinterpret_cast<std::byte*>(copy.data()));
    ASSERT_EQ(copy, bytes.substr(offset, length) + '#') << "offset " << offset << " length " << length;
  }
}

TEST(Staging, PiecesAreTheSameCopyInShortParts) {
  const std::string bytes(3 * kPieceBytes + 100, 'x');
  const std::vector<absl::string_view> chunks = {absl::string_view(bytes).substr(0, 2 * kPieceBytes + 1),
                                                 absl::string_view(bytes).substr(2 * kPieceBytes + 1)};
  std::string copy(bytes.size(), '#');
  std::vector<CopyPiece> pieces;
  AppendPieces(chunks, {10, bytes.size() - 20}, reinterpret_cast<std::byte*>(copy.data()), pieces);
  for (const CopyPiece& piece : pieces) {
    ASSERT_GT(piece.size_bytes, 0U);
    ASSERT_LE(piece.size_bytes, kPieceBytes);
    std::memcpy(piece.to, piece.from, piece.size_bytes);
  }
  EXPECT_EQ(copy, bytes.substr(20) + std::string(20, '#'));
}

}  // namespace
}  // namespace flashcore
