#include "kernels/cuda/kernel_table.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/scalar.h"

namespace flashcore::cuda {
namespace {

constexpr absl::string_view kAuto = "auto";
constexpr absl::string_view kAutoChoice = "fused";

constexpr std::array kKernels = {
    Kernel{"scalar", std::nullopt, kScalarRowsPerTile, &LoadScalar, &LaunchScalar},
    Kernel{"fused", GridKind::kTiles, kScalarRowsPerTile, &LoadScalar, &LaunchScalar},
    Kernel{"persistent", GridKind::kPersistent, kScalarRowsPerTile, &LoadScalar, &LaunchScalar},
};

}  // namespace

absl::Span<const Kernel> Kernels() { return kKernels; }

const Kernel* FindKernel(absl::string_view name) {
  const absl::string_view wanted = name == kAuto ? kAutoChoice : name;
  const auto* found =
      std::find_if(kKernels.begin(), kKernels.end(), [wanted](const Kernel& kernel) { return kernel.name == wanted; });
  return found == kKernels.end() ? nullptr : found;
}

}  // namespace flashcore::cuda
