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

  void ExpectAllCorrect(const std::vector<ProblemSpec>& specs) {
    for (size_t first = 0; first < specs.size(); first += kMaxBatchProblems) {
      const auto batch = absl::MakeConstSpan(specs).subspan(first, kMaxBatchProblems);
      ExpectCorrect(DeviceRunner(*backend_), batch);
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

TEST_P(CudaAttentionTest, FoundingCases) {
  struct Shape {
    int64_t batch, heads, len, head_dim;
  };
  std::vector<ProblemSpec> specs;
  for (const Shape& s :
       {Shape{1, 1, 32, 64}, Shape{1, 2, 64, 64}, Shape{1, 4, 128, 64}, Shape{1, 8, 512, 64}, Shape{4, 8, 256, 64}}) {
    for (const uint64_t seed : {0, 42, 12345}) {
      specs.push_back({.dtype = DType::kFloat16,
                       .batch = s.batch,
                       .num_qo_heads = s.heads,
                       .q_len = s.len,
                       .head_dim = s.head_dim,
                       .seed = seed});
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, Lengths) {
  const std::vector<std::pair<int64_t, int64_t>> lengths = {
      {1, 1},     {1, 239},     {239, 1},     {3, 799},     {799, 3},    {511, 1},   {113, 203},
      {108, 256}, {1023, 1024}, {1024, 1023}, {2048, 3577}, {16, 20000}, {1, 131072}};
  std::vector<ProblemSpec> specs;
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (const bool causal : {false, true}) {
      ProblemSpec spec{.dtype = kDTypes[i % kDTypes.size()], .q_len = lengths[i].first, .kv_len = lengths[i].second};
      spec.options.causal = causal;
      specs.push_back(spec);
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, HeadDims) {
  std::vector<ProblemSpec> specs;
  for (const int64_t head_dim : {1, 8, 31, 32, 40, 59, 64, 65, 80, 96, 111, 127, 128, 129, 160, 192, 255, 256}) {
    for (const DType dtype : kDTypes) {
      ProblemSpec spec{.dtype = dtype, .num_qo_heads = 2, .q_len = 37, .kv_len = 75, .head_dim = head_dim};
      spec.options.causal = head_dim % 2 == 0;
      specs.push_back(spec);
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, HeadGroupsLayoutsAndGaps) {
  std::vector<ProblemSpec> specs;
  for (const int64_t group : {1, 4, 7, 8}) {
    for (const int64_t kv_heads : {1, 3}) {
      for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
        for (const int64_t gap : {0, 5}) {
          specs.push_back({.dtype = kDTypes[specs.size() % kDTypes.size()],
                           .batch = 2,
                           .num_qo_heads = group * kv_heads,
                           .num_kv_heads = kv_heads,
                           .q_len = 19,
                           .kv_len = 45,
                           .layout = layout,
                           .row_gap = gap,
                           .head_gap = 2 * gap});
        }
      }
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, Windows) {
  std::vector<ProblemSpec> specs;
  for (const bool causal : {false, true}) {
    for (const int64_t left : {int64_t{-1}, int64_t{0}, int64_t{3}, int64_t{33}, int64_t{533}}) {
      for (const int64_t right : {int64_t{-1}, int64_t{0}, int64_t{7}, std::numeric_limits<int64_t>::max()}) {
        ProblemSpec spec{.dtype = kDTypes[specs.size() % kDTypes.size()], .q_len = 150, .kv_len = 301};
        spec.options.causal = causal;
        spec.options.window_left = left;
        spec.options.window_right = right;
        specs.push_back(spec);
        std::swap(spec.q_len, spec.kv_len);
        specs.push_back(spec);
      }
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, SoftCapsAndScales) {
  std::vector<ProblemSpec> specs;
  for (const float soft_cap : {0.0F, 1.0F, 30.0F, 50.0F}) {
    for (const float sm_scale : {0.0F, 0.01F, 1.0F}) {
      for (const DType dtype : kDTypes) {
        ProblemSpec spec{.dtype = dtype, .q_len = 65, .kv_len = 130, .q_scale = 5.0F};
        spec.options.logits_soft_cap = soft_cap;
        spec.options.sm_scale = sm_scale;
        specs.push_back(spec);
      }
    }
  }
  ExpectAllCorrect(specs);
}

TEST_P(CudaAttentionTest, LargeValues) {
  std::vector<ProblemSpec> specs;
  for (const DType dtype : kDTypes) {
    specs.push_back({.dtype = dtype, .q_len = 100, .kv_len = 333, .q_scale = 5.0F, .k_scale = 3.0F, .v_scale = 3.0F});
  }
  // Logits of some +-2.5e5.
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    specs.push_back({.dtype = dtype, .q_len = 100, .kv_len = 333, .q_scale = 300.0F, .k_scale = 300.0F});
  }
  ExpectAllCorrect(specs);
}

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

TEST_P(CudaAttentionTest, EmptySequencesInABatch) {
  std::vector<ProblemSpec> specs;
  for (const DType dtype : kDTypes) {
    specs.push_back({.dtype = dtype, .q_len = 0, .kv_len = 0});
    specs.push_back({.dtype = dtype, .q_len = 0, .kv_len = 9});
    specs.push_back({.dtype = dtype, .num_qo_heads = 3, .q_len = 9, .kv_len = 0});
    specs.push_back({.dtype = dtype, .q_len = 9, .kv_len = 9});
  }
  ExpectAllCorrect(specs);
  ExpectAllCorrect({specs[0], specs[1]});
  EXPECT_TRUE(backend_->Launch({}, nullptr).ok());
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
    ExpectAllCorrect(MixedBatch(problems));
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
