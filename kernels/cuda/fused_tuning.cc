#include "kernels/cuda/fused_tuning.h"

#include <iterator>

namespace flashcore::cuda {
namespace {

// Whole devices first: of two rows for one class the first counts.
constexpr TunedClass kTables[] = {
#include "kernels/cuda/tuned/device.inc"
#include "kernels/cuda/tuned/slice.inc"
    {},  // An array may not be empty.
};

constexpr FusedTuning kTuning = {.classes = absl::Span<const TunedClass>(kTables, std::size(kTables) - 1)};

}  // namespace

const FusedTuning& DefaultTuning() { return kTuning; }

}  // namespace flashcore::cuda
