// The sources of GPU counters under a real load. What they read is printed beside what was computed, for a person to
// compare; the test itself only holds them to what is true of any GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "kernels/attention.h"
#include "kernels/cuda/runtime.h"
#include "server/telemetry/gpu/cupti.h"
#include "server/telemetry/gpu/gpu_device.h"
#include "server/telemetry/gpu/nvml.h"
#include "server/telemetry/hardware.h"
#include "server/telemetry/text_format.h"
#include "tests/server/telemetry/exposition.h"

namespace flashcore {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kHeads = 32;
constexpr int64_t kLength = 4096;
constexpr int64_t kHeadDim = 128;
constexpr int64_t kBytesPerElement = 2;
constexpr int kLaunchesPerWait = 16;
constexpr std::chrono::milliseconds kLoadTime(1000);
constexpr std::chrono::milliseconds kIdleTime(500);
constexpr std::chrono::seconds kPatience(60);
// What any load of tensor cores exceeds by far.
constexpr double kLeastLoadedRatio = 0.05;

// A kernel that keeps the tensor cores busy, on tensors that stay on the device.
class Load {
 public:
  // UNAVAILABLE: no GPU.
  static absl::StatusOr<std::unique_ptr<Load>> Create() {
    auto backend = CreateBackend({.backend = "cuda", .kernel = "auto", .num_threads = 0, .device_ordinal = 0});
    if (!backend.ok()) return backend.status();
    auto stream = cuda::CreateStream();
    if (!stream.ok()) return stream.status();
    auto memory = cuda::AllocateDevice(static_cast<size_t>(4 * kTensorBytes));
    if (!memory.ok()) return memory.status();
    return std::unique_ptr<Load>(new Load(*std::move(backend), *std::move(stream), *std::move(memory)));
  }

  // Computes for about that long; gives the floating-point operations done and the seconds they took.
  std::pair<double, double> RunFor(std::chrono::milliseconds time) {
    const auto start = Clock::now();
    double flops = 0;
    while (Clock::now() - start < time) {
      for (int i = 0; i < kLaunchesPerWait; ++i) {
        const absl::Status status = backend_->Launch({&problem_, 1}, stream_.get());
        EXPECT_TRUE(status.ok()) << status;
        flops += AttentionFlops(problem_);
      }
      EXPECT_EQ(cudaStreamSynchronize(stream_.get()), cudaSuccess);
    }
    return {flops, std::chrono::duration<double>(Clock::now() - start).count()};
  }

 private:
  static constexpr int64_t kTensorBytes = kHeads * kLength * kHeadDim * kBytesPerElement;

  Load(std::unique_ptr<AttentionBackend> backend, cuda::Stream stream, cuda::DeviceMemory memory)
      : backend_(std::move(backend)), stream_(std::move(stream)), memory_(std::move(memory)) {
    cudaMemset(memory_.get(), 0, static_cast<size_t>(4 * kTensorBytes));
    const Strides strides = {kHeads * kLength * kHeadDim, kLength * kHeadDim, kHeadDim};
    problem_.batch = 1;
    problem_.num_qo_heads = kHeads;
    problem_.num_kv_heads = kHeads;
    problem_.q_len = kLength;
    problem_.kv_len = kLength;
    problem_.head_dim = kHeadDim;
    problem_.q = memory_.get();
    problem_.k = memory_.get() + kTensorBytes;
    problem_.v = memory_.get() + 2 * kTensorBytes;
    problem_.o = memory_.get() + 3 * kTensorBytes;
    problem_.q_strides = problem_.k_strides = problem_.v_strides = problem_.o_strides = strides;
  }

  std::unique_ptr<AttentionBackend> backend_;
  cuda::Stream stream_;
  cuda::DeviceMemory memory_;
  AttentionProblem problem_;
};

std::string Shown(const std::optional<double>& ratio) {
  char text[32] = "absent";
  if (ratio.has_value()) std::snprintf(text, sizeof(text), "%.4f", *ratio);
  return text;
}

class CudaTelemetryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto load = Load::Create();
    if (absl::IsUnavailable(load.status())) GTEST_SKIP() << load.status().message();
    ASSERT_TRUE(load.ok()) << load.status();
    load_ = *std::move(load);
    auto device = QueryGpuDevice(0);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *device;
    load_->RunFor(kIdleTime);  // Clocks rise.
  }

  // Idle, then under load. Skips, saying why, where the source does not start.
  void CheckSource(CounterSource& source) {
    if (const absl::Status status = source.Start(); !status.ok()) GTEST_SKIP() << source.name() << ": " << status;
    std::this_thread::sleep_for(kIdleTime);
    const auto idle = source.Read();
    ASSERT_TRUE(idle.ok()) << idle.status();
    const auto [flops, seconds] = load_->RunFor(kLoadTime);
    const auto read_start = Clock::now();
    const auto busy = source.Read();
    const double read_ms = std::chrono::duration<double, std::milli>(Clock::now() - read_start).count();
    ASSERT_TRUE(busy.ok()) << busy.status();
    std::printf("%s: idle tensor %s sm %s; load tensor %s sm %s dram %s; %.1f TFLOP/s; a reading took %.1f ms\n",
                std::string(source.name()).c_str(), Shown(idle->tensor_ratio).c_str(), Shown(idle->sm_ratio).c_str(),
                Shown(busy->tensor_ratio).c_str(), Shown(busy->sm_ratio).c_str(), Shown(busy->dram_ratio).c_str(),
                flops / seconds / 1e12, read_ms);
    EXPECT_GT(busy->tensor_ratio.value_or(0), kLeastLoadedRatio);
    EXPECT_GT(busy->sm_ratio.value_or(0), kLeastLoadedRatio);
    EXPECT_LT(idle->tensor_ratio.value_or(1), busy->tensor_ratio.value_or(0));
  }

  std::unique_ptr<Load> load_;
  GpuDevice device_;
};

TEST_F(CudaTelemetryTest, CuptiSeesTheTensorCoresWork) { CheckSource(*CreateCuptiSource(device_.ordinal)); }

TEST_F(CudaTelemetryTest, GpmSeesTheTensorCoresWork) {
  auto nvml = NvmlLibrary::Load(kNvmlLibrary);
  if (!nvml.ok()) GTEST_SKIP() << nvml.status();
  CheckSource(*CreateGpmSource(*std::move(nvml), device_.pci_bus_id));
}

TEST_F(CudaTelemetryTest, NvmlFindsTheSameDevice) {
  auto nvml = NvmlLibrary::Load(kNvmlLibrary);
  if (!nvml.ok()) GTEST_SKIP() << nvml.status();
  auto monitor = CreateNvmlMonitor(*std::move(nvml), device_.pci_bus_id);
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, device_.ordinal), cudaSuccess);
  EXPECT_EQ((*monitor)->identity().name, properties.name);
  const DeviceReading reading = (*monitor)->Read();
  EXPECT_GT(reading.memory_size_bytes.value_or(0), 0);
  EXPECT_GT(reading.sm_clock_hertz.value_or(0), 1e8);
}

// The counters must cost next to nothing; how little is for a person to see, as other programs may use the machine.
TEST_F(CudaTelemetryTest, ThroughputWithAndWithoutSampling) {
  double rates[2] = {0, 0};
  for (const bool sampled : {false, true, false, true}) {
    std::optional<HardwareTelemetry> hardware;
    if (sampled) hardware.emplace(HardwareOptions{.gpus = {0}});
    const auto [flops, seconds] = load_->RunFor(2 * kLoadTime);
    rates[sampled ? 1 : 0] += flops / seconds / 2;
  }
  std::printf("throughput: %.2f TFLOP/s unsampled, %.2f sampled (%+.2f %%)\n", rates[0] / 1e12, rates[1] / 1e12,
              100 * (rates[1] / rates[0] - 1));
}

TEST_F(CudaTelemetryTest, TheServersSeriesShowTheLoadAndItsSource) {
  const HardwareTelemetry hardware({.period = std::chrono::milliseconds(500), .gpus = {0}});
  const std::string wanted = "flashcore_tensor_core_utilization_ratio{";
  double greatest = 0;
  std::string text;
  for (const auto end = Clock::now() + kPatience; greatest <= kLeastLoadedRatio && Clock::now() < end;) {
    load_->RunFor(kLoadTime);
    text = ToTextFormat(hardware.collectable()->Collect());
    for (const auto& [name, value] : ParseExposition(text)) {
      if (absl::StartsWith(name, wanted)) greatest = value;
    }
    if (greatest == 0 && absl::StrContains(text, "state=") && !absl::StrContains(text, "state=\"active\"")) {
      GTEST_SKIP() << "no hardware counters here:\n" << text;
    }
  }
  std::printf("%s", text.c_str());
  EXPECT_GT(greatest, kLeastLoadedRatio);
}

}  // namespace
}  // namespace flashcore
