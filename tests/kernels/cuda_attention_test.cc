// Every kernel of the CUDA ladder against the reference, on a GPU.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/kernel_table.h"
#include "kernels/cuda/runtime.h"
#include "tests/kernels/cuda_runner.h"
#include "tests/kernels/grid.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr std::array kDTypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};

// The parameter is the kernel's name.
class CudaAttentionTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto backend = CreateCudaBackend(/*device_ordinal=*/0, GetParam());
    if (absl::IsUnavailable(backend.status())) GTEST_SKIP() << backend.status().message();
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  void ExpectAllCorrect(const std::vector<GridCase>& grid) {
    for (const GridCase& grid_case : grid) {
      SCOPED_TRACE(grid_case.name);
      ExpectCorrect(DeviceRunner(*backend_), grid_case.specs);
    }
  }

  // Runs problems whose tensors the caller has set, and compares.
  void ExpectCorrectAsSet(HostProblem& problem) {
    HostProblem* batch[] = {&problem};
    const absl::Status status = DeviceRunner(*backend_)(batch);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(Matches(problem, ComputeExpected(problem)));
  }

  std::unique_ptr<AttentionBackend> backend_;
};

TEST_P(CudaAttentionTest, SaysWhatItIs) {
  EXPECT_EQ(backend_->info().backend, "cuda");
  EXPECT_EQ(backend_->info().kernel, "cuda/" + GetParam());
  EXPECT_FALSE(backend_->info().device.empty());
  EXPECT_TRUE(backend_->info().device_memory);
}

TEST_P(CudaAttentionTest, FoundingGrid) {
  for (const DType dtype : kDTypes) ExpectAllCorrect(FoundingGrid(dtype));
}

TEST_P(CudaAttentionTest, BugGrid) {
  for (const DType dtype : kDTypes) ExpectAllCorrect(BugGrid(dtype));
}

TEST_P(CudaAttentionTest, LongGrid) { ExpectAllCorrect(LongGrid(DType::kFloat16)); }

TEST_P(CudaAttentionTest, APeakedRow) {
  for (const DType dtype : kDTypes) {
    HostProblem problem({.dtype = dtype, .q_len = 64, .kv_len = 200});
    for (int64_t d = 0; d < problem.spec().head_dim; ++d) {
      problem.SetQuery(0, 0, 17, d, 10.0F);
      problem.SetKey(0, 0, 123, d, 10.0F);
    }
    ExpectCorrectAsSet(problem);
  }
}

TEST_P(CudaAttentionTest, RowsWithoutKeysAreZero) {
  ProblemSpec spec{.dtype = DType::kFloat16, .num_qo_heads = 2, .q_len = 40, .kv_len = 24};
  spec.options.causal = true;
  HostProblem problem(spec);
  HostProblem* batch[] = {&problem};
  ASSERT_TRUE(DeviceRunner(*backend_)(batch).ok());
  for (int64_t row = 0; row < spec.q_len - spec.kv_len; ++row) {
    EXPECT_EQ(problem.Output(0, 1, row, 0), 0.0F);
    EXPECT_EQ(problem.Lse(0, 1, row), -std::numeric_limits<float>::infinity());
  }
  EXPECT_TRUE(Matches(problem, ComputeExpected(problem)));
}

TEST_P(CudaAttentionTest, NothingToDoIsDone) {
  EXPECT_TRUE(backend_->Launch({}, nullptr).ok());
  ExpectAllCorrect({{.name = "NoRows", .specs = {{.q_len = 0, .kv_len = 0}, {.q_len = 0, .kv_len = 9}}}});
}

TEST_P(CudaAttentionTest, CountsWhatItLaunches) {
  const std::shared_ptr<const LaunchCounts> counts = backend_->launch_counts();
  ASSERT_EQ(counts->kernels().front(), "cuda/scalar");
  const auto run = [this](DType dtype) {
    HostProblem problem({.dtype = dtype, .q_len = 3, .kv_len = 5});
    HostProblem* batch[] = {&problem};
    EXPECT_TRUE(DeviceRunner(*backend_)(batch).ok());
  };
  const auto on_tensor_cores = [&counts] {
    int64_t launches = 0;
    for (size_t kernel = 1; kernel < counts->kernels().size(); ++kernel) launches += counts->launches(kernel);
    return launches;
  };
  run(DType::kFloat32);
  EXPECT_EQ(counts->launches(0), 1);
  EXPECT_EQ(on_tensor_cores(), 0);
  run(DType::kFloat16);
  EXPECT_EQ(counts->launches(0), GetParam() == "scalar" ? 2 : 1);
  EXPECT_EQ(on_tensor_cores(), GetParam() == "scalar" ? 0 : 1);
}

// What is broken in one row or head stays there; Matches takes NaN only where the reference has it.
TEST_P(CudaAttentionTest, BrokenInputsDoNotLeak) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const DType dtype : kDTypes) {
    const ProblemSpec spec{.dtype = dtype, .batch = 2, .num_qo_heads = 4, .num_kv_heads = 2, .q_len = 21, .kv_len = 50};
    HostProblem problem(spec);
    problem.SetQuery(0, 1, 5, 3, kNan);
    problem.SetQuery(0, 1, 6, 3, kInf);
    problem.SetKey(1, 0, 49, 63, kNan);
    problem.SetValue(0, 1, 7, 0, kInf);
    ExpectCorrectAsSet(problem);
  }
}

// A batch of everything at once, larger than the small descriptor and up to the bound.
std::vector<ProblemSpec> MixedBatch(size_t problems) {
  std::vector<ProblemSpec> specs;
  for (size_t i = 0; i < problems; ++i) {
    const auto n = static_cast<int64_t>(i);
    ProblemSpec spec{.dtype = kDTypes[i % kDTypes.size()],
                     .batch = 1 + n % 2,
                     .num_qo_heads = 4,
                     .num_kv_heads = int64_t{1} << (i % 3),
                     .q_len = (n * 7) % 41,
                     .kv_len = (n * 13) % 97,
                     .head_dim = 8 * (1 + n % 32),
                     .layout = i % 4 < 2 ? Layout::kBhsd : Layout::kBshd,
                     .return_lse = i % 5 != 0,
                     .seed = i};
    spec.options.causal = i % 3 == 1;
    spec.options.window_left = i % 7 == 0 ? 11 : -1;
    spec.options.logits_soft_cap = i % 6 == 0 ? 20.0F : 0.0F;
    specs.push_back(spec);
  }
  return specs;
}

TEST_P(CudaAttentionTest, MixedBatchesOfEverySize) {
  for (const size_t problems : {size_t{2}, cuda::kSmallBatch, cuda::kSmallBatch + 1, kMaxBatchProblems}) {
    ExpectCorrect(DeviceRunner(*backend_), MixedBatch(problems));
  }
}

// Host problems and what a batch of them needs.
struct Problems {
  explicit Problems(const std::vector<ProblemSpec>& specs) {
    for (const ProblemSpec& spec : specs) {
      owned.push_back(std::make_unique<HostProblem>(spec));
      pointers.push_back(owned.back().get());
    }
  }
  std::vector<std::vector<std::byte>> OutputBits() const {
    std::vector<std::vector<std::byte>> bits;
    for (const HostProblem* problem : pointers) bits.push_back(problem->OutputBits());
    return bits;
  }
  std::vector<std::unique_ptr<HostProblem>> owned;
  std::vector<HostProblem*> pointers;
};

TEST_P(CudaAttentionTest, TheSameBitsAloneAndInABatch) {
  Problems problems(MixedBatch(cuda::kSmallBatch + 7));
  ASSERT_TRUE(DeviceRunner(*backend_)(problems.pointers).ok());
  const auto together = problems.OutputBits();
  for (size_t i = 0; i < problems.pointers.size(); ++i) {
    problems.pointers[i]->PoisonOutputs();
    ASSERT_TRUE(DeviceRunner(*backend_)({&problems.pointers[i], 1}).ok());
    EXPECT_EQ(problems.pointers[i]->OutputBits(), together[i]) << ToString(problems.pointers[i]->spec());
  }
}

TEST_P(CudaAttentionTest, TheSameBitsEveryTime) {
  constexpr int kRepeats = 250;
  Problems problems(MixedBatch(12));
  DeviceBatch batch(problems.pointers);
  std::vector<std::vector<std::byte>> first;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    batch.PoisonOutputs();
    ASSERT_TRUE(backend_->Launch(batch.problems(), nullptr).ok());
    batch.Download();
    ASSERT_TRUE(batch.status().ok()) << batch.status();
    if (repeat == 0) first = problems.OutputBits();
    ASSERT_EQ(problems.OutputBits(), first) << "repeat " << repeat;
  }
}

TEST_P(CudaAttentionTest, ThreadsLaunchOnTheirOwnStreams) {
  constexpr size_t kThreads = 4;
  constexpr int kLaunches = 50;
  std::vector<std::unique_ptr<Problems>> problems;
  std::vector<std::unique_ptr<DeviceBatch>> batches;
  for (size_t t = 0; t < kThreads; ++t) {
    problems.push_back(std::make_unique<Problems>(MixedBatch(5 + t)));
    batches.push_back(std::make_unique<DeviceBatch>(problems.back()->pointers));
  }
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &batch = *batches[t]] {
      const absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
      ASSERT_TRUE(stream.ok()) << stream.status();
      for (int i = 0; i < kLaunches; ++i) ASSERT_TRUE(backend_->Launch(batch.problems(), stream->get()).ok());
      ASSERT_EQ(cudaStreamSynchronize(stream->get()), cudaSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < kThreads; ++t) {
    batches[t]->Download();
    ASSERT_TRUE(batches[t]->status().ok()) << batches[t]->status();
    for (HostProblem* problem : problems[t]->pointers) EXPECT_TRUE(Matches(*problem, ComputeExpected(*problem)));
  }
}

// The descriptor travels inside the launch, so a graph replays it without the host's help.
TEST_P(CudaAttentionTest, LaunchesCanBeCaptured) {
  for (const size_t size : {cuda::kSmallBatch, kMaxBatchProblems}) {
    Problems problems(MixedBatch(size));
    DeviceBatch batch(problems.pointers);
    const absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
    ASSERT_TRUE(stream.ok()) << stream.status();
    ASSERT_EQ(cudaStreamBeginCapture(stream->get(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    const absl::Status launched = backend_->Launch(batch.problems(), stream->get());
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream->get(), &graph), cudaSuccess);
    ASSERT_TRUE(launched.ok()) << launched;
    cudaGraphExec_t replay = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&replay, graph), cudaSuccess);
    batch.PoisonOutputs();
    ASSERT_EQ(cudaGraphLaunch(replay, stream->get()), cudaSuccess);
    batch.Download();
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
    ASSERT_TRUE(batch.status().ok()) << batch.status();
    for (HostProblem* problem : problems.pointers) EXPECT_TRUE(Matches(*problem, ComputeExpected(*problem)));
  }
}

std::vector<std::string> KernelNames() {
  std::vector<std::string> names;
  for (const cuda::Kernel& kernel : cuda::Kernels()) names.emplace_back(kernel.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaAttentionTest, ::testing::ValuesIn(KernelNames()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace flashcore::testing
