#include "bench/kernel/oracle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "bench/kernel/host_tensors.h"
#include "bench/kernel/shape.h"
#include "kernels/backends.h"

namespace flashcore::bench {
namespace {

constexpr uint64_t kSeed = 42;

Shape Parse(const std::string& text) {
  absl::StatusOr<Shape> shape = ParseShape(text);
  EXPECT_TRUE(shape.ok()) << shape.status();
  return *shape;
}

// What the CPU backend makes of the problem, in the shape's dtype.
std::vector<float> Compute(Shape shape, const HostTensors& tensors) {
  const std::vector<std::byte> q = Encode(shape.dtype, tensors.q);
  const std::vector<std::byte> k = Encode(shape.dtype, tensors.k);
  const std::vector<std::byte> v = Encode(shape.dtype, tensors.v);
  std::vector<std::byte> o(q.size());
  shape.q = q.data();
  shape.k = k.data();
  shape.v = v.data();
  shape.o = o.data();
  const auto backend = CreateReferenceBackend();
  EXPECT_TRUE(backend->Launch(absl::MakeConstSpan(&shape, 1), nullptr).ok());
  return Decode(shape.dtype, o);
}

class OracleTest : public testing::TestWithParam<const char*> {};

TEST_P(OracleTest, AcceptsWhatIsRightAndNothingElse) {
  const Shape shape = Parse(GetParam());
  const HostTensors tensors = DrawTensors(shape, kSeed);
  const Oracle oracle(shape, tensors, kSeed);
  EXPECT_TRUE(oracle.complete());
  std::vector<float> output = Compute(shape, tensors);
  EXPECT_LE(oracle.MaxError(output), oracle.tolerance());
  EXPECT_LT(oracle.tolerance(), 0.1);

  output[output.size() / 2] += static_cast<float>(2 * oracle.tolerance());
  EXPECT_GT(oracle.MaxError(output), oracle.tolerance());
  output[output.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_GT(oracle.MaxError(output), oracle.tolerance());
}

INSTANTIATE_TEST_SUITE_P(Shapes, OracleTest,
                         testing::Values("1,2,33,64", "2,4,20,40,kv_heads=2,kv_len=50,causal",
                                         "1,2,50,32,kv_len=20,causal", "1,1,40,64,window=3:2,bf16",
                                         "1,3,17,128,soft_cap=5", "1,1,4,64,kv_len=0"));

TEST(OracleTest, SamplesLargeShapesAndTheirEdges) {
  const Shape shape = Parse("1,8,4096,128,causal");
  const HostTensors tensors = DrawTensors(shape, kSeed);
  const Oracle oracle(shape, tensors, kSeed);
  EXPECT_FALSE(oracle.complete());
  // Zero is far off at the first row, which sees one key, and near elsewhere.
  std::vector<float> output(tensors.q.size(), 0.0f);
  EXPECT_GT(oracle.MaxError(output), 1.0);
}

TEST(MaxDifferenceTest, ForgivesRounding) {
  const std::vector<float> a = {1.0f, -2.0f};
  std::vector<float> b = {1.0f, -2.0f};
  EXPECT_EQ(MaxDifference(DType::kFloat16, a, b), 0.0);
  b[1] -= std::ldexp(1.0f, -10);
  EXPECT_EQ(MaxDifference(DType::kFloat16, a, b), 0.0);
  b[1] = -2.5f;
  EXPECT_NEAR(MaxDifference(DType::kFloat16, a, b), 0.5, 0.01);
  b[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(MaxDifference(DType::kFloat16, a, b), std::numeric_limits<double>::infinity());
}

TEST(HostTensorsTest, IsStandardNormalAndRepeatable) {
  const Shape shape = Parse("1,4,512,64");
  const HostTensors tensors = DrawTensors(shape, kSeed);
  double sum = 0.0;
  double squares = 0.0;
  for (float value : tensors.q) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto count = static_cast<double>(tensors.q.size());
  EXPECT_NEAR(sum / count, 0.0, 0.02);
  EXPECT_NEAR(squares / count, 1.0, 0.02);
  EXPECT_EQ(DrawTensors(shape, kSeed).k, tensors.k);
  EXPECT_NE(DrawTensors(shape, kSeed + 1).k, tensors.k);
  EXPECT_NE(tensors.k, tensors.v);
}

}  // namespace
}  // namespace flashcore::bench
