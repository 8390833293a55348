#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall32(TileKind kind, Element element) { return FusedTallEntry<32>(kind, element); }

}  // namespace flashcore::cuda
