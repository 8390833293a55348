#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedTall128(TileKind kind, Element element) { return FusedTallEntry<128>(kind, element); }

}  // namespace flashcore::cuda
