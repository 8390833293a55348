#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedKernel64(TileKind kind, Element element) { return FusedEntry<64>(kind, element); }

}  // namespace flashcore::cuda
