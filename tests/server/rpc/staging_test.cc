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

}  // namespace
}  // namespace flashcore
