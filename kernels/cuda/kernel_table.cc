#include "kernels/cuda/kernel_table.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/scalar.h"
#include "kernels/cuda/wmma.h"

namespace flashcore::cuda {
namespace {

constexpr absl::string_view kAuto = "auto";
constexpr absl::string_view kAutoChoice = "fused";

constexpr DescriptorKernel kScalar = {{.rows = kScalarRowsPerTile}, &LoadScalar, &LaunchScalar};
constexpr DescriptorKernel kWmma = {{.rows = kWmmaRowsPerTile, .within_heads = true}, &LoadWmma, &LaunchWmma};

constexpr std::array kKernels = {
    Kernel{"scalar", std::nullopt, std::nullopt},
    Kernel{"wmma", std::nullopt, kWmma},
    Kernel{"fused", GridKind::kTiles, std::nullopt},
    Kernel{"persistent", GridKind::kPersistent, std::nullopt},
};

}  // namespace

const DescriptorKernel& ScalarKernel() { return kScalar; }

absl::Span<const Kernel> Kernels() { return kKernels; }

const Kernel* FindKernel(absl::string_view name) {
  const absl::string_view wanted = name == kAuto ? kAutoChoice : name;
  const auto* found =
      std::find_if(kKernels.begin(), kKernels.end(), [wanted](const Kernel& kernel) { return kernel.name == wanted; });
  return found == kKernels.end() ? nullptr : found;
}

}  // namespace flashcore::cuda
