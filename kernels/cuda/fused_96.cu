#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall96(TileKind kind, Element element) { return FusedTallEntry<96>(kind, element); }

}  // namespace flashcore::cuda
