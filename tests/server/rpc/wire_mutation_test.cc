// The fuzzer's target over seeded mutations, in every build.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/server/rpc/bad_requests.h"
#include "tests/server/rpc/wire_expectations.h"
#include "tests/server/rpc/wire_fuzz_target.h"

namespace flashcore {
namespace {

constexpr int kRounds = 50'000;

TEST(WireMutation, NothingGetsPastTheChecks) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<std::string> corpus;
  for (const testing::BadRequest& bad : testing::BadRequests()) {
    if (bad.bytes.size() < 10'000) corpus.push_back(bad.bytes);
  }
  for (const auto dtype : {v1::DTYPE_FP16, v1::DTYPE_FP32}) {
    v1::AttendStreamRequest request;
    request.set_id(1);
    *request.mutable_request() = testing::ValidRequest(dtype);
    corpus.push_back(request.request().SerializeAsString());
    corpus.push_back(request.SerializeAsString());
  }
  for (int round = 0; round < kRounds; ++round) {
    std::string bytes = corpus[random() % corpus.size()];
    testing::Mutate(bytes, random);
    bytes.insert(0, 1, static_cast<char>(random()));
    testing::ReadCheckAndStage(bytes);
  }
}

}  // namespace
}  // namespace flashcore
