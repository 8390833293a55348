#include "server/engine/cpu_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"
#include "server/engine/passthrough.h"

namespace flashcore {
namespace {

// Two queries over two keys, D = 1: small enough to check by hand.
constexpr int64_t kTokens = 2;

AttentionProblem SmallProblem(float* staging) {
  AttentionProblem problem;
  problem.dtype = DType::kFloat32;
  problem.batch = problem.num_qo_heads = problem.num_kv_heads = problem.head_dim = 1;
  problem.q_len = problem.kv_len = kTokens;
  problem.options.sm_scale = 1.0F;
  problem.q_strides = problem.k_strides = problem.v_strides = problem.o_strides = StridesBhsd(1, kTokens, 1);
  problem.q = staging;
  problem.k = staging + kTokens;
  problem.v = staging + 2 * kTokens;
  problem.o = staging + 3 * kTokens;
  return problem;
}

EngineOptions SmallOptions(const char* backend) {
  EngineOptions options;
  options.backend.backend = backend;
  options.backend.num_threads = 1;
  options.arena_bytes = 1 << 20;
  options.max_batch_bytes = 1 << 20;
  return options;
}

absl::StatusOr<std::unique_ptr<Engine>> CreateOne(const EngineOptions& options) {
  absl::StatusOr<std::vector<std::unique_ptr<Engine>>> engines = CreateEngines(options);
  if (!engines.ok()) return engines.status();
  EXPECT_EQ(engines->size(), 1U);
  return std::move(engines->front());
}

class CpuEngineTest : public testing::TestWithParam<const char*> {};

TEST_P(CpuEngineTest, ALaneComputesInPlace) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = CreateOne(SmallOptions(GetParam()));
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_FALSE((*engine)->backend().info().device_memory);
  EXPECT_EQ((*engine)->arena()->capacity_bytes(), size_t{1} << 20);
  absl::StatusOr<HostBlock> block = (*engine)->arena()->Allocate(4 * kTokens * sizeof(float));
  ASSERT_TRUE(block.ok()) << block.status();
  auto* staging = reinterpret_cast<float*>(block->data());
  const std::vector<float> inputs = {0.0F, 1.0F, /*k*/ 0.0F, 2.0F, /*v*/ 1.0F, 3.0F};
  std::memcpy(staging, inputs.data(), inputs.size() * sizeof(float));

  absl::StatusOr<std::unique_ptr<Lane>> lane = (*engine)->CreateLane();
  ASSERT_TRUE(lane.ok()) << lane.status();
  StageTimes times;
  const AttentionProblem problem = SmallProblem(staging);
  ASSERT_TRUE((*lane)->Run({&problem, 1}, times).ok());

  const float weight = std::exp(2.0F) / (1.0F + std::exp(2.0F));
  EXPECT_NEAR(staging[3 * kTokens], 2.0F, 1e-5F);
  EXPECT_NEAR(staging[3 * kTokens + 1], 1.0F + 2.0F * weight, 1e-5F);
  EXPECT_GT(times[Stage::kCompute], 0);
  EXPECT_EQ(times[Stage::kUpload], 0);
  EXPECT_EQ(times[Stage::kDownload], 0);
  const std::shared_ptr<const LaunchCounts> counts = (*engine)->backend().launch_counts();
  EXPECT_THAT(counts->kernels(), testing::ElementsAre((*engine)->backend().info().kernel));
  EXPECT_EQ(counts->launches(0), 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, CpuEngineTest, testing::Values("cpu", "reference"));

// Says INTERNAL to everything.
class BrokenBackend final : public AttentionBackend {
 public:
  const BackendInfo& info() const override { return info_; }
  absl::Status CheckSupported(const AttentionProblem&) const override { return absl::OkStatus(); }
  absl::Status Launch(absl::Span<const AttentionProblem>, void*) override { return absl::InternalError("broken"); }

 private:
  BackendInfo info_;
};

TEST(CreateCpuEngineTest, ALaneHandsOnTheBackendsError) {
  const auto engine = CreateCpuEngine(std::make_unique<BrokenBackend>(), *HostArena::CreatePageable(1));
  auto lane = engine->CreateLane();
  ASSERT_TRUE(lane.ok()) << lane.status();
  StageTimes times;
  EXPECT_EQ((*lane)->Run({}, times), absl::InternalError("broken"));
}

TEST(CreateEnginesTest, PassthroughTouchesNothing) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = CreateOne(SmallOptions(kPassthroughBackend));
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->backend().info().kernel, "passthrough");
  std::vector<float> staging(4 * kTokens, 7.0F);
  const AttentionProblem problem = SmallProblem(staging.data());
  EXPECT_TRUE((*engine)->backend().CheckSupported(problem).ok());
  absl::StatusOr<std::unique_ptr<Lane>> lane = (*engine)->CreateLane();
  ASSERT_TRUE(lane.ok()) << lane.status();
  StageTimes times;
  EXPECT_TRUE((*lane)->Run({&problem, 1}, times).ok());
  EXPECT_THAT(staging, testing::Each(7.0F));
}

TEST(CreateEnginesTest, OneForEachDeviceOverOneArena) {
  EngineOptions options = SmallOptions("cpu");
  options.devices = {0, 1, 2};
  const auto engines = CreateEngines(options);
  ASSERT_TRUE(engines.ok()) << engines.status();
  ASSERT_EQ(engines->size(), 3U);
  for (const std::unique_ptr<Engine>& engine : *engines) {
    EXPECT_EQ(engine->arena(), engines->front()->arena());
    EXPECT_EQ(engine->backend().info().num_threads, 1) << "as asked for, each";
  }
}

TEST(CreateEnginesTest, EnginesOfACpuShareItsThreads) {
  EngineOptions options = SmallOptions("cpu");
  options.backend.num_threads = 0;
  options.devices = {0};
  const auto one = CreateEngines(options);
  ASSERT_TRUE(one.ok()) << one.status();
  options.devices = {0, 1};
  const auto two = CreateEngines(options);
  ASSERT_TRUE(two.ok()) << two.status();
  const int all_threads = (*one)[0]->backend().info().num_threads;
  const int threads = (*two)[0]->backend().info().num_threads;
  EXPECT_EQ(threads, (*two)[1]->backend().info().num_threads);
  EXPECT_EQ(threads, std::max(1, all_threads / 2));
}

TEST(CreateEnginesTest, RefusesNoDevices) {
  EngineOptions options = SmallOptions("cpu");
  options.devices.clear();
  EXPECT_EQ(CreateEngines(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CreateEnginesTest, RefusesUnknownBackends) {
  EXPECT_EQ(CreateEngines(SmallOptions("abacus")).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CreateEnginesTest, RefusesSizesThatAreNotPositive) {
  EngineOptions options = SmallOptions("cpu");
  options.arena_bytes = 0;
  EXPECT_EQ(CreateEngines(options).status().code(), absl::StatusCode::kInvalidArgument);
  options = SmallOptions("cpu");
  options.max_batch_bytes = -1;
  EXPECT_EQ(CreateEngines(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace flashcore
