#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedKernel32(TileKind kind, Element element) { return FusedEntry<32>(kind, element); }

}  // namespace flashcore::cuda
