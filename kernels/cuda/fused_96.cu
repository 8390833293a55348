#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedKernel96(TileKind kind, Element element) { return FusedEntry<96>(kind, element); }

}  // namespace flashcore::cuda
