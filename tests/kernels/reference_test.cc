// The oracle itself, against cases small enough to work out by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

// Two queries, three keys, head_dim 1, sm_scale 1: the logit of (i, j) is q[i] * k[j].
class ReferenceTest : public ::testing::Test {
 protected:
  void Run() {
    problem_.dtype = DType::kFloat32;
    problem_.batch = 1;
    problem_.num_qo_heads = 1;
    problem_.num_kv_heads = 1;
    problem_.q_len = 2;
    problem_.kv_len = 3;
    problem_.head_dim = 1;
    problem_.options.sm_scale = 1.0f;
    problem_.q = q_.data();
    problem_.k = k_.data();
    problem_.v = v_.data();
    problem_.o = o_.data();
    problem_.lse = lse_.data();
    problem_.q_strides = problem_.o_strides = StridesBhsd(1, 2, 1);
    problem_.k_strides = problem_.v_strides = StridesBhsd(1, 3, 1);
    ASSERT_TRUE(CreateReferenceBackend()->Launch({&problem_, 1}, nullptr).ok());
  }

  const float ln2_ = std::log(2.0f);
  AttentionProblem problem_;
  std::vector<float> q_ = {0.0f, 1.0f};
  // e^(q k) for the second query is 1, 2, 4.
  std::vector<float> k_ = {0.0f, ln2_, 2 * ln2_};
  std::vector<float> v_ = {7.0f, 14.0f, 28.0f};
  std::vector<float> o_ = {-1.0f, -1.0f};
  std::vector<float> lse_ = {-1.0f, -1.0f};
};

TEST_F(ReferenceTest, AllKeys) {
  Run();
  EXPECT_FLOAT_EQ(o_[0], 49.0f / 3);
  EXPECT_FLOAT_EQ(lse_[0], std::log(3.0f));
  EXPECT_FLOAT_EQ(o_[1], (7.0f + 2 * 14.0f + 4 * 28.0f) / 7);
  EXPECT_FLOAT_EQ(lse_[1], std::log(7.0f));
}

TEST_F(ReferenceTest, CausalIsAlignedBottomRight) {
  problem_.options.causal = true;
  Run();
  EXPECT_FLOAT_EQ(o_[0], 21.0f / 2);
  EXPECT_FLOAT_EQ(o_[1], (7.0f + 2 * 14.0f + 4 * 28.0f) / 7);
}

TEST_F(ReferenceTest, Windows) {
  problem_.options.window_left = 0;
  problem_.options.window_right = 0;
  Run();
  EXPECT_FLOAT_EQ(o_[0], 14.0f);
  EXPECT_FLOAT_EQ(o_[1], 28.0f);
  EXPECT_FLOAT_EQ(lse_[1], 2 * ln2_);
}

TEST_F(ReferenceTest, SoftCap) {
  problem_.options.logits_soft_cap = 1.0f;
  q_[1] = 1e6f;
  Run();
  // Logits 0, ~1, ~1.
  const float e = std::exp(1.0f);
  EXPECT_FLOAT_EQ(o_[1], (7.0f + e * 42.0f) / (1 + 2 * e));
}

TEST_F(ReferenceTest, NanStaysInItsRow) {
  q_[0] = std::numeric_limits<float>::quiet_NaN();
  Run();
  EXPECT_TRUE(std::isnan(o_[0]));
  EXPECT_TRUE(std::isnan(lse_[0]));
  EXPECT_FLOAT_EQ(lse_[1], std::log(7.0f));
}

TEST(ReferenceEmptyTest, RowsWithoutKeysGiveZeroAndMinusInfinity) {
  AttentionProblem problem;
  problem.dtype = DType::kFloat32;
  problem.batch = problem.num_qo_heads = problem.num_kv_heads = 1;
  problem.q_len = 3;
  problem.kv_len = 1;
  problem.head_dim = 2;
  problem.options.sm_scale = 1.0f;
  problem.options.causal = true;
  const std::vector<float> q(6, 1.0f);
  const std::vector<float> k(2, 1.0f);
  const std::vector<float> v = {3.0f, 4.0f};
  std::vector<float> o(6, -1.0f);
  std::vector<float> lse(3, -1.0f);
  problem.q = q.data();
  problem.k = k.data();
  problem.v = v.data();
  problem.o = o.data();
  problem.lse = lse.data();
  problem.q_strides = problem.o_strides = StridesBhsd(1, 3, 2);
  problem.k_strides = problem.v_strides = StridesBhsd(1, 1, 2);
  ASSERT_TRUE(CreateReferenceBackend()->Launch({&problem, 1}, nullptr).ok());
  EXPECT_EQ(o, (std::vector<float>{0, 0, 0, 0, 3, 4}));
  EXPECT_EQ(lse[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(lse[1], -std::numeric_limits<float>::infinity());
  EXPECT_FLOAT_EQ(lse[2], 2.0f);
}

}  // namespace
}  // namespace flashcore
