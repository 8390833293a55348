#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/kernel_table.h"
#include "kernels/cuda/runtime.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

TEST(CudaKernelTableTest, FindsEveryKernelByItsName) {
  for (const cuda::Kernel& kernel : cuda::Kernels()) {
    EXPECT_EQ(cuda::FindKernel(kernel.name), &kernel);
    // Neither: everything runs on the scalar kernel.
    EXPECT_FALSE(kernel.fused_grid.has_value() && kernel.tensor_core.has_value());
  }
}

TEST(CudaKernelTableTest, HasTheWholeLadder) {
  std::vector<std::string> names;
  for (const cuda::Kernel& kernel : cuda::Kernels()) names.emplace_back(kernel.name);
  EXPECT_THAT(names, ::testing::ElementsAre("scalar", "wmma", "fused", "persistent"));
}

TEST(CudaKernelTableTest, AutoIsOneOfThem) {
  EXPECT_NE(cuda::FindKernel("auto"), nullptr);
  EXPECT_EQ(cuda::FindKernel("Scalar"), nullptr);
  EXPECT_EQ(cuda::FindKernel(""), nullptr);
}

TEST(CudaBackendTest, AnUnknownKernelIsTheCallersMistake) {
  const absl::Status status = CreateCudaBackend(0, "steam").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'steam'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'scalar'"));
}

TEST(CudaBackendTest, ADeviceThatIsNotThereIsUnavailable) {
  for (const int ordinal : {-1, 1000}) {
    const absl::Status status = CreateCudaBackend(ordinal, "auto").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA device"));
  }
}

// With a device this holds of its ordinary context, which has all of it.
TEST(CudaRuntimeTest, WithoutASliceEveryMultiprocessorIsUsable) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {
    EXPECT_EQ(cuda::UsableMultiprocessors(58), 58);
    return;
  }
  int multiprocessors = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cuda::UsableMultiprocessors(multiprocessors), multiprocessors);
}

TEST(CudaBackendTest, AutoFallsBackToTheCpuWithoutADevice) {
  BackendOptions options;
  options.device_ordinal = 1000;
  options.num_threads = 1;
  const auto backend = CreateBackend(options);
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ((*backend)->info().backend, "cpu");
}

}  // namespace
}  // namespace flashcore
