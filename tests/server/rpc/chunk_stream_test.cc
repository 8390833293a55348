#include "server/rpc/chunk_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace flashcore {
namespace {

// What Next gives; "" at the end.
std::string Next(ChunkStream& stream) {
  const void* data = nullptr;
  int size = 0;
  if (!stream.Next(&data, &size)) return "";
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

TEST(ChunkStreamTest, GivesChunkAfterChunk) {
  const std::vector<absl::string_view> chunks = {"ab", "", "cde"};
  ChunkStream stream(chunks);
  EXPECT_EQ(Next(stream), "ab");
  EXPECT_EQ(Next(stream), "cde");
  EXPECT_EQ(stream.ByteCount(), 5);
  EXPECT_EQ(Next(stream), "");
}

TEST(ChunkStreamTest, GivesAgainWhatWasBackedUp) {
  const std::vector<absl::string_view> chunks = {"abcd", "ef"};
  ChunkStream stream(chunks);
  Next(stream);
  stream.BackUp(3);
  EXPECT_EQ(stream.ByteCount(), 1);
  EXPECT_EQ(Next(stream), "bcd");
  EXPECT_EQ(Next(stream), "ef");
}

TEST(ChunkStreamTest, SkipsOverChunks) {
  const std::vector<absl::string_view> chunks = {"ab", "", "cde"};
  ChunkStream stream(chunks);
  EXPECT_TRUE(stream.Skip(3));
  EXPECT_EQ(stream.ByteCount(), 3);
  EXPECT_EQ(Next(stream), "de");
  EXPECT_FALSE(stream.Skip(1));
}

}  // namespace
}  // namespace flashcore
