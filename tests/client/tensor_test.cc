#include "client/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

namespace flashcore {
namespace {

using ::testing::ElementsAre;

TEST(TensorTest, FromFloatsRoundsToTheDtype) {
  const std::array<float, 3> values = {1.0f, -2.5f, 1.0f / 3.0f};
  const Tensor half = Tensor::FromFloats({DType::kFloat16, {3}}, values).value();
  EXPECT_THAT(half.ToFloats(), ElementsAre(1.0f, -2.5f, 0.333251953125f));
  const Tensor brain = Tensor::FromFloats({DType::kBFloat16, {3}}, values).value();
  EXPECT_THAT(brain.ToFloats(), ElementsAre(1.0f, -2.5f, 0.333984375f));
  const Tensor single = Tensor::FromFloats({DType::kFloat32, {3}}, values).value();
  EXPECT_THAT(single.ToFloats(), ElementsAre(1.0f, -2.5f, 1.0f / 3.0f));
  EXPECT_EQ(single.size_bytes(), 12);
}

TEST(TensorTest, FromFloatsWantsAsManyValuesAsTheShapeHas) {
  const std::array<float, 3> values = {1, 2, 3};
  EXPECT_EQ(Tensor::FromFloats({DType::kFloat16, {2, 2}}, values).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TensorTest, RandomIsRepeatableAndLooksNormal) {
  const TensorSpec spec{DType::kFloat32, {4, 50, 100}};
  const Tensor a = Tensor::Random(spec, 7);
  const Tensor b = Tensor::Random(spec, 7);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size_bytes()), 0);
  EXPECT_NE(std::memcmp(a.data(), Tensor::Random(spec, 8).data(), a.size_bytes()), 0);
  double sum = 0;
  double squares = 0;
  for (const float value : a.ToFloats()) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum / 20000, 0, 0.05);
  EXPECT_NEAR(squares / 20000, 1, 0.05);
}

TEST(TensorTest, SharedBytesLiveAsLongAsTheLastCopy) {
  auto bytes = std::make_shared<std::vector<float>>(4, 1.5f);
  const std::weak_ptr<std::vector<float>> watched = bytes;
  Tensor tensor = Tensor::Share({DType::kFloat32, {4}}, std::shared_ptr<const void>(bytes, bytes->data()));
  bytes.reset();
  Tensor copy = tensor;
  tensor = Tensor();
  EXPECT_EQ(copy.At(3), 1.5f);
  EXPECT_FALSE(watched.expired());
  copy = Tensor();
  EXPECT_TRUE(watched.expired());
}

TEST(TensorTest, ValidateSpec) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(ValidateSpec({DType::kFloat16, {}}).ok());
  EXPECT_TRUE(ValidateSpec({DType::kFloat16, {1, 0, 5}}).ok());
  EXPECT_FALSE(ValidateSpec({DType::kFloat16, {1, -1}}).ok());
  EXPECT_FALSE(ValidateSpec({DType::kFloat16, {kMax}}).ok());
  EXPECT_FALSE(ValidateSpec({DType::kFloat32, {1 << 30, 1 << 30, 16}}).ok());
}

TEST(TensorDeathTest, ASpecThatIsNoneAborts) {
  EXPECT_DEATH(Tensor::Random({DType::kFloat16, {-1}}, 1), "dimension -1 is negative");
}

}  // namespace
}  // namespace flashcore
