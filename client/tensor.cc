#include "client/tensor.h"

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/float16.h"

namespace flashcore {
namespace {

// Elements of a valid spec.
int64_t CountElements(const TensorSpec& spec) {
  int64_t count = 1;
  for (const int64_t dim : spec.shape) count *= dim;
  return count;
}

void RequireValid(const TensorSpec& spec) {
  const absl::Status status = ValidateSpec(spec);
  if (status.ok()) return;
  std::fprintf(stderr, "flashcore::Tensor: %s\n", status.ToString().c_str());
  std::abort();
}

std::unique_ptr<std::byte[]> Allocate(const TensorSpec& spec) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(CountElements(spec)) * SizeOf(spec.dtype));
}

}  // namespace

absl::string_view Name(Layout layout) { return layout == Layout::kBhsd ? "bhsd" : "bshd"; }

absl::Status ValidateSpec(const TensorSpec& spec) {
  auto bytes = static_cast<int64_t>(SizeOf(spec.dtype));
  for (const int64_t dim : spec.shape) {
    if (dim < 0) return absl::InvalidArgumentError(absl::StrCat("shape: dimension ", dim, " is negative"));
    if (__builtin_mul_overflow(bytes, dim, &bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape: [", absl::StrJoin(spec.shape, ", "), "] has more bytes than 2^63"));
    }
  }
  return absl::OkStatus();
}

std::string ToString(const TensorSpec& spec) {
  return absl::StrCat(Name(spec.dtype), " [", absl::StrJoin(spec.shape, ", "), "] ", Name(spec.layout));
}

Tensor::Tensor(TensorSpec spec, const void* bytes, std::shared_ptr<const void> owner)
    : spec_(std::move(spec)), bytes_(bytes), owner_(std::move(owner)) {
  RequireValid(spec_);
  elements_ = CountElements(spec_);
}

Tensor Tensor::Random(TensorSpec spec, uint64_t seed) {
  RequireValid(spec);
  std::unique_ptr<std::byte[]> bytes = Allocate(spec);
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  const int64_t count = CountElements(spec);
  for (int64_t i = 0; i < count; ++i) StoreElement(spec.dtype, bytes.get(), i, normal(generator));
  return FromBytes(std::move(spec), std::move(bytes));
}

absl::StatusOr<Tensor> Tensor::FromFloats(TensorSpec spec, absl::Span<const float> values) {
  RequireValid(spec);
  if (CountElements(spec) != static_cast<int64_t>(values.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat(values.size(), " values do not fill ", ToString(spec), ", which has ", CountElements(spec)));
  }
  std::unique_ptr<std::byte[]> bytes = Allocate(spec);
  for (size_t i = 0; i < values.size(); ++i) {
    StoreElement(spec.dtype, bytes.get(), static_cast<int64_t>(i), values[i]);
  }
  return FromBytes(std::move(spec), std::move(bytes));
}

Tensor Tensor::FromBytes(TensorSpec spec, std::unique_ptr<std::byte[]> bytes) {
  return Share(std::move(spec), std::shared_ptr<std::byte[]>(std::move(bytes)));
}

Tensor Tensor::Share(TensorSpec spec, std::shared_ptr<const void> bytes) {
  const void* data = bytes.get();
  return {std::move(spec), data, std::move(bytes)};
}

Tensor Tensor::Borrow(TensorSpec spec, const void* bytes) { return {std::move(spec), bytes, nullptr}; }

float Tensor::At(int64_t index) const { return LoadElement(spec_.dtype, bytes_, index); }

std::vector<float> Tensor::ToFloats() const {
  std::vector<float> values(static_cast<size_t>(elements_));
  for (int64_t i = 0; i < elements_; ++i) values[static_cast<size_t>(i)] = At(i);
  return values;
}

}  // namespace flashcore
