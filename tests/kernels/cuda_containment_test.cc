// What is not finite reaches the rows that see it and no other: on every rung of the CUDA ladder, and on every tile of
// the fused kernels, with and without splits.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/kernel_table.h"
#include "tests/kernels/cuda_runner.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr cuda::DeviceLimits kLimits = {.multiprocessors = 58, .l2_bytes = int64_t{48} << 20};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Problems with broken values and what should come of them, to be run several times over.
class BrokenBatch {
 public:
  BrokenBatch(DType dtype, int64_t head_dim) {
    // Near the diagonal, in tiles of every height, and in columns of their own.
    constexpr int64_t kBrokenKeys[] = {0, 3, 49, 64, 66, 97, 128, 130, 199};
    for (const float broken : {kNan, kInf, -kInf}) {
      for (const int64_t group : {1, 3}) {
        HostProblem& causal = AddProblem(Spec(dtype, head_dim, group), {.causal = true});
        HostProblem& window = AddProblem(Spec(dtype, head_dim, group), {.window_left = 20, .window_right = 7});
        for (size_t i = 0; i < std::size(kBrokenKeys); ++i) {
          const auto column = static_cast<int64_t>(i) * 7 % head_dim;
          causal.SetValue(0, 0, kBrokenKeys[i], column, broken);
          window.SetValue(0, 0, kBrokenKeys[i], column, broken);
        }
      }
      // The key that only the last query sees, and one that everybody sees.
      AddProblem(Spec(dtype, head_dim, 1), {.causal = true}).SetKey(0, 0, 199, 0, broken);
      AddProblem(Spec(dtype, head_dim, 1), {.causal = true}).SetKey(0, 0, 0, head_dim - 1, broken);
      HostProblem& rows = AddProblem(Spec(dtype, head_dim, 2), {.causal = true, .logits_soft_cap = 20.0F});
      rows.SetValue(0, 0, 120, 5, broken);
      rows.SetQuery(0, 1, 33, 3, kNan);
    }
    // A whole token that later rows see, and rows that see no key at all beside one that is broken.
    HostProblem& token = AddProblem(Spec(dtype, head_dim, 2), {.causal = true});
    for (int64_t column = 0; column < head_dim; ++column) token.SetValue(0, 0, 77, column, kNan);
    ProblemSpec few_keys = Spec(dtype, head_dim, 1);
    few_keys.kv_len = 40;
    AddProblem(few_keys, {.causal = true}).SetValue(0, 0, 5, 1, kNan);
    for (const auto& problem : owned_) expected_.push_back(ComputeExpected(*problem));
  }

  void ExpectContained(const Runner& runner) {
    for (HostProblem* problem : problems_) problem->PoisonOutputs();
    const absl::Status status = runner(problems_);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < problems_.size(); ++i) {
      EXPECT_TRUE(Matches(*problems_[i], expected_[i])) << "problem " << i << ": " << ToString(problems_[i]->spec());
    }
  }

 private:
  static ProblemSpec Spec(DType dtype, int64_t head_dim, int64_t group) {
    return {.dtype = dtype,
            .num_qo_heads = group,
            .num_kv_heads = 1,
            .q_len = 150,
            .kv_len = 200,
            .head_dim = head_dim,
            .layout = group == 1 ? Layout::kBhsd : Layout::kBshd};
  }

  HostProblem& AddProblem(ProblemSpec spec, const AttentionOptions& options) {
    spec.options = options;
    owned_.push_back(std::make_unique<HostProblem>(spec));
    problems_.push_back(owned_.back().get());
    return *owned_.back();
  }

  std::vector<std::unique_ptr<HostProblem>> owned_;
  std::vector<HostProblem*> problems_;
  std::vector<Expected> expected_;
};

// The parameter is the kernel's name.
class CudaLadderContainmentTest : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaLadderContainmentTest, BrokenValuesStayWhereTheyAreSeen) {
  const auto backend = CreateCudaBackend(/*device_ordinal=*/0, GetParam());
  if (absl::IsUnavailable(backend.status())) GTEST_SKIP() << backend.status().message();
  ASSERT_TRUE(backend.ok()) << backend.status();
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (const int64_t head_dim : {64, 40}) BrokenBatch(dtype, head_dim).ExpectContained(DeviceRunner(**backend));
  }
}

std::vector<std::string> KernelNames() {
  std::vector<std::string> names;
  for (const cuda::Kernel& kernel : cuda::Kernels()) names.emplace_back(kernel.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaLadderContainmentTest, ::testing::ValuesIn(KernelNames()),
                         [](const auto& test) { return test.param; });

// The parameters are the head_dim and the elements' type.
class CudaTilesContainmentTest : public ::testing::TestWithParam<std::tuple<int, DType>> {};

TEST_P(CudaTilesContainmentTest, BrokenValuesStayWhereTheyAreSeen) {
  const auto backend = CreateCudaBackend(/*device_ordinal=*/0, "fused");
  if (absl::IsUnavailable(backend.status())) GTEST_SKIP() << backend.status().message();
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto [head_dim, dtype] = GetParam();
  BrokenBatch batch(dtype, head_dim);
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
    for (const int splits : {1, 3}) {
      for (const cuda::GridKind grid : {cuda::GridKind::kTiles, cuda::GridKind::kPersistent}) {
        SCOPED_TRACE(::testing::Message()
                     << "kind " << kind << ", " << splits << " splits, grid " << static_cast<int>(grid));
        cuda::FusedLauncher launcher(kLimits, grid, [kind, splits](const AttentionProblem& problem) {
          return cuda::PlanFusedWith(problem, kLimits, static_cast<cuda::TileKind>(kind), splits);
        });
        batch.ExpectContained([&launcher](absl::Span<HostProblem* const> problems) -> absl::Status {
          DeviceBatch on_device(problems);
          if (!on_device.status().ok()) return on_device.status();
          absl::Status launched = launcher.Launch(on_device.problems(), /*stream=*/nullptr).status();
          if (!launched.ok()) return launched;
          on_device.Download();
          return on_device.status();
        });
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(HeadDims, CudaTilesContainmentTest,
                         ::testing::Combine(::testing::Values(32, 64, 96, 128, 192, 256),
                                            ::testing::Values(DType::kFloat16, DType::kBFloat16)),
                         [](const auto& test) {
                           return std::string(Name(std::get<1>(test.param))) + "Of" +
                                  std::to_string(std::get<0>(test.param));
                         });

}  // namespace
}  // namespace flashcore::testing
