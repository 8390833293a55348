#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall256(TileKind kind, Element element) { return FusedTallEntry<256>(kind, element); }

}  // namespace flashcore::cuda
