// QueryGpuDevice where the build has no CUDA.
#include "absl/status/status.h"
#include "server/telemetry/gpu/gpu_device.h"

namespace flashcore {

absl::StatusOr<GpuDevice> QueryGpuDevice(int /*ordinal*/) { return absl::UnimplementedError("this build has no CUDA"); }

}  // namespace flashcore
