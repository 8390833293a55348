#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/backends.h"

namespace flashcore {
namespace {

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

AttentionProblem ValidProblem() {
  AttentionProblem problem;
  problem.dtype = DType::kFloat16;
  problem.batch = 2;
  problem.num_qo_heads = 8;
  problem.num_kv_heads = 4;
  problem.q_len = 16;
  problem.kv_len = 32;
  problem.head_dim = 64;
  problem.options.sm_scale = DefaultScale(problem.head_dim);
  return problem;
}

struct ValidationCase {
  const char* name;
  std::function<void(AttentionProblem&)> change;
  const char* field;  // What the message names; nullptr: the problem is valid.
};

class ValidateProblemTest : public ::testing::TestWithParam<ValidationCase> {};

TEST_P(ValidateProblemTest, SaysWhatIsWrong) {
  AttentionProblem problem = ValidProblem();
  GetParam().change(problem);
  const absl::Status status = ValidateProblem(problem);
  if (GetParam().field == nullptr) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find(GetParam().field), std::string::npos) << status;
}

const ValidationCase kValidationCases[] = {
    {"Unchanged", [](AttentionProblem&) {}, nullptr},
    {"EmptyQueries", [](AttentionProblem& p) { p.q_len = 0; }, nullptr},
    {"EmptyKeys", [](AttentionProblem& p) { p.kv_len = 0; }, nullptr},
    {"LargestHeadDim", [](AttentionProblem& p) { p.head_dim = kMaxHeadDim; }, nullptr},
    {"SmallestHeadDim", [](AttentionProblem& p) { p.head_dim = 1; }, nullptr},
    {"HugeWindows", [](AttentionProblem& p) { p.options.window_left = p.options.window_right = kMaxInt64; }, nullptr},
    {"UnknownDtype", [](AttentionProblem& p) { p.dtype = static_cast<DType>(3); }, "dtype"},
    {"NoBatch", [](AttentionProblem& p) { p.batch = 0; }, "batch"},
    {"NegativeBatch", [](AttentionProblem& p) { p.batch = -1; }, "batch"},
    {"NoQueryHeads", [](AttentionProblem& p) { p.num_qo_heads = 0; }, "num_qo_heads"},
    {"NoKeyHeads", [](AttentionProblem& p) { p.num_kv_heads = 0; }, "num_kv_heads"},
    {"HeadsDoNotDivide", [](AttentionProblem& p) { p.num_kv_heads = 3; }, "num_kv_heads"},
    {"MoreKeyHeads", [](AttentionProblem& p) { p.num_kv_heads = 16; }, "num_kv_heads"},
    {"NegativeQueries", [](AttentionProblem& p) { p.q_len = -1; }, "q_len"},
    {"NegativeKeys", [](AttentionProblem& p) { p.kv_len = -1; }, "kv_len"},
    {"NoHeadDim", [](AttentionProblem& p) { p.head_dim = 0; }, "head_dim"},
    {"HeadDimTooLarge", [](AttentionProblem& p) { p.head_dim = kMaxHeadDim + 1; }, "head_dim"},
    {"ScaleZero", [](AttentionProblem& p) { p.options.sm_scale = 0.0f; }, "sm_scale"},
    {"ScaleNegative", [](AttentionProblem& p) { p.options.sm_scale = -1.0f; }, "sm_scale"},
    {"ScaleNan", [](AttentionProblem& p) { p.options.sm_scale = std::nanf(""); }, "sm_scale"},
    {"ScaleInfinite", [](AttentionProblem& p) { p.options.sm_scale = INFINITY; }, "sm_scale"},
    {"CapNegative", [](AttentionProblem& p) { p.options.logits_soft_cap = -1.0f; }, "logits_soft_cap"},
    {"CapNan", [](AttentionProblem& p) { p.options.logits_soft_cap = std::nanf(""); }, "logits_soft_cap"},
    {"CapInfinite", [](AttentionProblem& p) { p.options.logits_soft_cap = INFINITY; }, "logits_soft_cap"},
    {"WindowLeft", [](AttentionProblem& p) { p.options.window_left = -2; }, "window_left"},
    {"WindowRight", [](AttentionProblem& p) { p.options.window_right = -2; }, "window_right"},
    {"QueriesOverflow", [](AttentionProblem& p) { p.q_len = kMaxInt64 / 64; }, "q_len"},
    {"KeysOverflow", [](AttentionProblem& p) { p.kv_len = kMaxInt64; }, "kv_len"},
    {"BatchOverflows", [](AttentionProblem& p) { p.batch = kMaxInt64; }, "batch"},
    // 2^64 elements in all: the product wraps around to 0.
    {"WrapsToZero", [](AttentionProblem& p) { p.batch = int64_t{1} << 51; }, "batch"},
    // The elements fit, the bytes do not.
    {"BytesOverflow", [](AttentionProblem& p) { p.q_len = int64_t{1} << 52; }, "q_len"},
    {"EmptyButOverflowing",
     [](AttentionProblem& p) {
       p.q_len = 0;
       p.batch = int64_t{1} << 62;
     },
     "batch"},
};

INSTANTIATE_TEST_SUITE_P(Table, ValidateProblemTest, ::testing::ValuesIn(kValidationCases),
                         [](const auto& tested) { return tested.param.name; });

TEST(VisibleKeysTest, MatchesTheDefinition) {
  for (const int64_t q_len : {1, 3, 8}) {
    for (const int64_t kv_len : {0, 1, 5, 8}) {
      for (const bool causal : {false, true}) {
        for (const int64_t left : {-1, 0, 2, 100}) {
          for (const int64_t right : {-1, 0, 3, 100}) {
            AttentionProblem problem = ValidProblem();
            problem.q_len = q_len;
            problem.kv_len = kv_len;
            problem.options.causal = causal;
            problem.options.window_left = left;
            problem.options.window_right = right;
            for (int64_t row = 0; row < q_len; ++row) {
              const int64_t aligned = row + kv_len - q_len;
              const KeyRange range = VisibleKeys(problem, row);
              EXPECT_LE(range.begin, range.end);
              for (int64_t key = 0; key < kv_len; ++key) {
                const bool visible = (!causal || key <= aligned) && (left < 0 || key >= aligned - left) &&
                                     (right < 0 || key <= aligned + right);
                EXPECT_EQ(visible, range.begin <= key && key < range.end)
                    << "q_len " << q_len << " kv_len " << kv_len << " causal " << causal << " left " << left
                    << " right " << right << " row " << row << " key " << key;
              }
            }
          }
        }
      }
    }
  }
}

TEST(VisibleKeysTest, TakesTheLargestWindowsAndLengths) {
  AttentionProblem problem = ValidProblem();
  problem.options.window_left = kMaxInt64;
  problem.options.window_right = kMaxInt64 - 1;
  for (const int64_t q_len : {int64_t{1}, int64_t{1} << 40}) {
    problem.q_len = q_len;
    const KeyRange range = VisibleKeys(problem, 0);
    EXPECT_EQ(range.begin, 0);
    EXPECT_EQ(range.end, problem.kv_len);
  }
}

TEST(AttentionFlopsTest, CountsVisiblePairs) {
  for (const int64_t q_len : {0, 1, 7, 40}) {
    for (const int64_t kv_len : {0, 1, 9, 40}) {
      for (const bool causal : {false, true}) {
        for (const int64_t left : {-1, 0, 6, 50}) {
          for (const int64_t right : {-1, 0, 4, 50}) {
            AttentionProblem problem = ValidProblem();
            problem.q_len = q_len;
            problem.kv_len = kv_len;
            problem.options.causal = causal;
            problem.options.window_left = left;
            problem.options.window_right = right;
            double pairs = 0.0;
            for (int64_t row = 0; row < q_len; ++row) {
              const KeyRange range = VisibleKeys(problem, row);
              pairs += static_cast<double>(range.end - range.begin);
            }
            EXPECT_EQ(AttentionFlops(problem), 4.0 * 64 * 2 * 8 * pairs)
                << q_len << " " << kv_len << " " << causal << " " << left << " " << right;
          }
        }
      }
    }
  }
}

TEST(StridesTest, AreThoseOfContiguousTensors) {
  const Strides bhsd = StridesBhsd(3, 5, 7);
  EXPECT_EQ(bhsd.batch, 105);
  EXPECT_EQ(bhsd.head, 35);
  EXPECT_EQ(bhsd.row, 7);
  const Strides bshd = StridesBshd(3, 5, 7);
  EXPECT_EQ(bshd.batch, 105);
  EXPECT_EQ(bshd.head, 7);
  EXPECT_EQ(bshd.row, 21);
}

TEST(ElementsTest, CountsAndSizes) {
  const AttentionProblem problem = ValidProblem();
  EXPECT_EQ(QueryElements(problem), 2 * 8 * 16 * 64);
  EXPECT_EQ(KeyValueElements(problem), 2 * 4 * 32 * 64);
  EXPECT_EQ(LseElements(problem), 2 * 8 * 16);
  EXPECT_EQ(SizeOf(DType::kFloat16), 2u);
  EXPECT_EQ(SizeOf(DType::kBFloat16), 2u);
  EXPECT_EQ(SizeOf(DType::kFloat32), 4u);
  EXPECT_EQ(Name(DType::kFloat16), "fp16");
  EXPECT_EQ(Name(DType::kBFloat16), "bf16");
  EXPECT_EQ(Name(DType::kFloat32), "fp32");
  EXPECT_FLOAT_EQ(DefaultScale(64), 0.125f);
}

BackendOptions Options(const std::string& backend, const std::string& kernel = "auto", int num_threads = 1) {
  BackendOptions options;
  options.backend = backend;
  options.kernel = kernel;
  options.num_threads = num_threads;
  return options;
}

TEST(CreateBackendTest, MakesWhatIsAskedFor) {
  EXPECT_EQ(CreateBackend(Options("reference")).value()->info().backend, "reference");
  const auto cpu = CreateBackend(Options("cpu", "auto", 3)).value();
  EXPECT_EQ(cpu->info().backend, "cpu");
  EXPECT_EQ(cpu->info().num_threads, 3);
  EXPECT_FALSE(cpu->info().device.empty());
  EXPECT_GE(CreateBackend(Options("cpu", "auto", 0)).value()->info().num_threads, 1);
}

TEST(CreateBackendTest, RefusesWhatDoesNotExist) {
  EXPECT_EQ(CreateBackend(Options("tpu")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateBackend(Options("cpu", "scalar")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateBackend(Options("reference", "scalar")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateBackend(Options("cpu", "auto", -1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateBackend(Options("cpu", "auto", 1 << 20)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CreateBackendTest, AutoAlwaysFindsABackend) {
  const auto backend = CreateBackend(Options("auto"));
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_TRUE((*backend)->info().backend == "cpu" || (*backend)->info().backend == "cuda");
}

}  // namespace
}  // namespace flashcore
