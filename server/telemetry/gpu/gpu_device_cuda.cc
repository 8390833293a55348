// QueryGpuDevice where the build has CUDA.
#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "server/telemetry/gpu/gpu_device.h"

namespace flashcore {
namespace {

constexpr int kPciBusIdBytes = 32;

absl::Status Check(cudaError_t error) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(cudaGetErrorString(error));
}

}  // namespace

absl::StatusOr<GpuDevice> QueryGpuDevice(int ordinal) {
  char pci_bus_id[kPciBusIdBytes] = "";
  int sm_count = 0;
  int major = 0;
  int minor = 0;
  absl::Status status = Check(cudaDeviceGetPCIBusId(pci_bus_id, kPciBusIdBytes, ordinal));
  status.Update(Check(cudaDeviceGetAttribute(&sm_count, cudaDevAttrMultiProcessorCount, ordinal)));
  status.Update(Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal)));
  status.Update(Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal)));
  if (!status.ok()) return status;
  return GpuDevice{
      .ordinal = ordinal, .pci_bus_id = pci_bus_id, .sm_count = sm_count, .compute_capability = major * 10 + minor};
}

}  // namespace flashcore
