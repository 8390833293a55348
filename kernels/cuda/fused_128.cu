#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedKernel128(TileKind kind, Element element) { return FusedEntry<128>(kind, element); }

}  // namespace flashcore::cuda
