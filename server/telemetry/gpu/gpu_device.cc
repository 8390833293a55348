#include "server/telemetry/gpu/gpu_device.h"

namespace flashcore {
namespace {

// Of `mma.sync`, by which all kernels here use the tensor cores: so that full pipes are 1, as counters have it. Up
// to 8.9 that is the rate of NVIDIA's architecture papers. The consumer chips of 8.6 and 8.9 do half of it; the
// servers' chips, which the names A10, L4 and L40 stand for, do all. On 9.0 an instruction of 4096 operations holds one
// of the four pipes for 6 cycles (bench/telemetry_check.sh), and only `wgmma` reaches the paper's 4096 in a clock.
struct TensorRate {
  int compute_capability;
  double flops_per_sm_clock;
};
constexpr TensorRate kTensorRates[] = {{80, 2048}, {86, 1024}, {89, 1024}, {90, 4096.0 * 4 / 6}};

}  // namespace

std::optional<double> TensorFlopsPerClock(const GpuDevice& device) {
  for (const TensorRate& rate : kTensorRates) {
    if (rate.compute_capability == device.compute_capability) return rate.flops_per_sm_clock * device.sm_count;
  }
  return std::nullopt;
}

}  // namespace flashcore
