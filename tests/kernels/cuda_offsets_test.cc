// Tensors whose elements lie more than 2^31 elements apart: what breaks when an offset is computed in 32 bits.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/kernel_table.h"
#include "kernels/cuda/runtime.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

enum class Far { kBatch, kHead, kRow };

constexpr int64_t kBatch = 2;
constexpr int64_t kHeads = 2;
constexpr int64_t kRows = 33;
constexpr int64_t kHeadDim = 64;
// The last index along the far dimension lies this many elements from the first.
constexpr int64_t kSpanElements = (int64_t{1} << 31) + 64;
// Q, K, V and O begin this far apart, and their near dimensions fit in between.
constexpr int64_t kSlotElements = int64_t{1} << 16;
constexpr int64_t kTensors = 4;
constexpr size_t kElementBytes = 2;
constexpr size_t kPoolBytes = static_cast<size_t>(kSpanElements + kTensors * kSlotElements) * kElementBytes;
static_assert(kBatch * kHeads * kRows * kHeadDim <= kSlotElements);

Strides FarStrides(Far far) {
  switch (far) {
    case Far::kBatch:
      return {.batch = kSpanElements / (kBatch - 1), .head = kRows * kHeadDim, .row = kHeadDim};
    case Far::kHead:
      return {.batch = kRows * kHeadDim, .head = kSpanElements / (kHeads - 1), .row = kHeadDim};
    case Far::kRow:
      break;
  }
  return {.batch = kHeads * kHeadDim, .head = kHeadDim, .row = kSpanElements / (kRows - 1)};
}

// Copies each row between a contiguous host tensor [B, H, S, D] and a device tensor with `strides`.
absl::Status CopyRows(std::byte* host, std::byte* device, const Strides& strides, cudaMemcpyKind kind) {
  constexpr size_t kRowBytes = kHeadDim * kElementBytes;
  for (int64_t index = 0; index < kBatch * kHeads * kRows; ++index) {
    const int64_t batch = index / (kHeads * kRows);
    const int64_t head = index / kRows % kHeads;
    const int64_t offset = batch * strides.batch + head * strides.head + index % kRows * strides.row;
    std::byte* const far_row = device + static_cast<size_t>(offset) * kElementBytes;
    std::byte* const row = host + static_cast<size_t>(index) * kRowBytes;
    const bool upload = kind == cudaMemcpyHostToDevice;
    const cudaError_t error = cudaMemcpy(upload ? far_row : row, upload ? row : far_row, kRowBytes, kind);
    if (error != cudaSuccess) return cuda::ToStatus(error, "copying a row");
  }
  return absl::OkStatus();
}

class CudaOffsetsTest : public ::testing::TestWithParam<std::tuple<std::string, Far>> {};

TEST_P(CudaOffsetsTest, ElementsPast2To31) {
  auto backend = CreateCudaBackend(/*device_ordinal=*/0, std::get<0>(GetParam()));
  if (absl::IsUnavailable(backend.status())) GTEST_SKIP() << backend.status().message();
  ASSERT_TRUE(backend.ok()) << backend.status();
  const absl::StatusOr<cuda::DeviceMemory> pool = cuda::AllocateDevice(kPoolBytes);
  if (absl::IsResourceExhausted(pool.status())) GTEST_SKIP() << pool.status().message();
  ASSERT_TRUE(pool.ok()) << pool.status();
  ASSERT_EQ(cudaMemset(pool->get(), 0xFF, kPoolBytes), cudaSuccess);

  HostProblem host({.dtype = DType::kFloat16,
                    .batch = kBatch,
                    .num_qo_heads = kHeads,
                    .q_len = kRows,
                    .head_dim = kHeadDim,
                    .return_lse = false});
  const Strides strides = FarStrides(std::get<1>(GetParam()));
  AttentionProblem problem = host.Describe();
  problem.q_strides = problem.k_strides = problem.v_strides = problem.o_strides = strides;
  const auto slot = [&pool](size_t index) { return pool->get() + index * kSlotElements * kElementBytes; };
  const std::vector<GuardedBuffer*> tensors = {&host.q(), &host.k(), &host.v()};
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto* const data = static_cast<std::byte*>(tensors[i]->data());
    ASSERT_TRUE(CopyRows(data, slot(i), strides, cudaMemcpyHostToDevice).ok());
  }
  problem.q = slot(0);
  problem.k = slot(1);
  problem.v = slot(2);
  problem.o = slot(3);
  ASSERT_TRUE((*backend)->Launch({&problem, 1}, nullptr).ok());
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  auto* const o = static_cast<std::byte*>(host.o().data());
  ASSERT_TRUE(CopyRows(o, slot(3), strides, cudaMemcpyDeviceToHost).ok());
  EXPECT_TRUE(Matches(host, ComputeExpected(host)));
}

std::vector<std::string> KernelNames() {
  std::vector<std::string> names;
  for (const cuda::Kernel& kernel : cuda::Kernels()) names.emplace_back(kernel.name);
  return names;
}

absl::string_view Name(Far far) {
  switch (far) {
    case Far::kBatch:
      return "Batch";
    case Far::kHead:
      return "Head";
    case Far::kRow:
      return "Row";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaOffsetsTest,
                         ::testing::Combine(::testing::ValuesIn(KernelNames()),
                                            ::testing::Values(Far::kBatch, Far::kHead, Far::kRow)),
                         [](const auto& test) {
                           return absl::StrCat(std::get<0>(test.param), "Far", Name(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace flashcore::testing
