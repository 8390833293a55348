#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedKernel256(TileKind kind, Element element) { return FusedEntry<256>(kind, element); }

}  // namespace flashcore::cuda
