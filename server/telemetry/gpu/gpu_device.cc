#include "server/telemetry/gpu/gpu_device.h"

namespace flashcore {
namespace {

// From NVIDIA's architecture papers. The consumer chips of 8.6 and 8.9 do half of it; the servers' chips, which the
// names A10, L4 and L40 stand for, do all.
struct TensorRate {
  int compute_capability;
  double flops_per_sm_clock;
};
constexpr TensorRate kTensorRates[] = {{80, 2048}, {86, 1024}, {89, 1024}, {90, 4096}};

}  // namespace

std::optional<double> TensorFlopsPerClock(const GpuDevice& device) {
  for (const TensorRate& rate : kTensorRates) {
    if (rate.compute_capability == device.compute_capability) return rate.flops_per_sm_clock * device.sm_count;
  }
  return std::nullopt;
}

}  // namespace flashcore
