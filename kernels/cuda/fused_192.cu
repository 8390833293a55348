#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall192(TileKind kind, Element element) { return FusedTallEntry<192>(kind, element); }

}  // namespace flashcore::cuda
