#include "kernels/c_api.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr int kInvalidArgument = 3;

flashcore_attention* Create(const char* backend) {
  flashcore_attention* attention = nullptr;
  EXPECT_EQ(flashcore_attention_create(backend, "auto", 2, 0, &attention), 0) << flashcore_attention_last_error();
  return attention;
}

flashcore_attention_strides ToC(const Strides& strides) { return {strides.batch, strides.head, strides.row}; }

flashcore_attention_problem ToC(const AttentionProblem& problem) {
  flashcore_attention_problem c = {};
  c.batch = problem.batch;
  c.num_qo_heads = problem.num_qo_heads;
  c.num_kv_heads = problem.num_kv_heads;
  c.q_len = problem.q_len;
  c.kv_len = problem.kv_len;
  c.head_dim = problem.head_dim;
  c.window_left = problem.options.window_left;
  c.window_right = problem.options.window_right;
  c.sm_scale = problem.options.sm_scale;
  c.logits_soft_cap = problem.options.logits_soft_cap;
  c.causal = problem.options.causal ? 1 : 0;
  c.dtype = static_cast<int32_t>(problem.dtype);
  c.q = problem.q;
  c.k = problem.k;
  c.v = problem.v;
  c.o = problem.o;
  c.lse = problem.lse;
  c.q_strides = ToC(problem.q_strides);
  c.k_strides = ToC(problem.k_strides);
  c.v_strides = ToC(problem.v_strides);
  c.o_strides = ToC(problem.o_strides);
  return c;
}

ProblemSpec Spec() {
  ProblemSpec spec;
  spec.dtype = DType::kBFloat16;
  spec.batch = 2;
  spec.num_qo_heads = 4;
  spec.num_kv_heads = 2;
  spec.q_len = 33;
  spec.kv_len = 47;
  spec.layout = Layout::kBshd;
  spec.options.causal = true;
  spec.options.window_left = 20;
  spec.options.logits_soft_cap = 30.0f;
  return spec;
}

TEST(CApiTest, EveryFieldArrives) {
  flashcore_attention* attention = Create("cpu");
  HostProblem first(Spec());
  HostProblem second(ProblemSpec{.dtype = DType::kFloat32, .q_len = 20});
  const std::vector<flashcore_attention_problem> problems = {ToC(first.Describe()), ToC(second.Describe())};
  ASSERT_EQ(flashcore_attention_run(attention, problems.data(), problems.size(), nullptr), 0)
      << flashcore_attention_last_error();
  EXPECT_TRUE(Matches(first, ComputeExpected(first)));
  EXPECT_TRUE(Matches(second, ComputeExpected(second)));
  flashcore_attention_destroy(attention);
}

TEST(CApiTest, SaysWhatTheBackendIs) {
  flashcore_attention* attention = Create("cpu");
  EXPECT_STREQ(flashcore_attention_backend(attention), "cpu");
  EXPECT_EQ(std::string(flashcore_attention_kernel(attention)).substr(0, 4), "cpu/");
  EXPECT_STRNE(flashcore_attention_device(attention), "");
  EXPECT_EQ(flashcore_attention_num_threads(attention), 2);
  flashcore_attention_destroy(attention);
}

TEST(CApiTest, RefusesBadProblems) {
  flashcore_attention* attention = Create("reference");
  HostProblem host(Spec());
  const flashcore_attention_problem good = ToC(host.Describe());
  struct Case {
    void (*spoil)(flashcore_attention_problem&);
    const char* named;
  };
  const Case cases[] = {
      {[](flashcore_attention_problem& p) { p.dtype = 3; }, "dtype"},
      {[](flashcore_attention_problem& p) { p.dtype = -1; }, "dtype"},
      {[](flashcore_attention_problem& p) { p.dtype = 256; }, "dtype"},
      {[](flashcore_attention_problem& p) { p.head_dim = 0; }, "head_dim"},
      {[](flashcore_attention_problem& p) { p.q = nullptr; }, "q or o"},
      {[](flashcore_attention_problem& p) { p.o = nullptr; }, "q or o"},
      {[](flashcore_attention_problem& p) { p.v = nullptr; }, "k or v"},
  };
  for (const Case& bad : cases) {
    flashcore_attention_problem problems[] = {good, good};
    bad.spoil(problems[1]);
    EXPECT_EQ(flashcore_attention_run(attention, problems, 2, nullptr), kInvalidArgument);
    EXPECT_NE(std::string(flashcore_attention_last_error()).find("problem 1: "), std::string::npos);
    EXPECT_NE(std::string(flashcore_attention_last_error()).find(bad.named), std::string::npos)
        << flashcore_attention_last_error();
  }
  const std::vector<flashcore_attention_problem> too_many(kMaxBatchProblems + 1, good);
  EXPECT_EQ(flashcore_attention_run(attention, too_many.data(), too_many.size(), nullptr), kInvalidArgument);
  flashcore_attention_destroy(attention);
}

TEST(CApiTest, ErrorsBelongToTheirThread) {
  flashcore_attention* attention = nullptr;
  EXPECT_EQ(flashcore_attention_create("tpu", "auto", 0, 0, &attention), kInvalidArgument);
  EXPECT_EQ(attention, nullptr);
  EXPECT_NE(std::string(flashcore_attention_last_error()).find("tpu"), std::string::npos);
  std::thread([] { EXPECT_STREQ(flashcore_attention_last_error(), ""); }).join();
  flashcore_attention_destroy(nullptr);
}

}  // namespace
}  // namespace flashcore::testing
