#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall64(TileKind kind, Element element) { return FusedTallEntry<64>(kind, element); }

}  // namespace flashcore::cuda
