#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow256(TileKind kind, Element element) { return FusedNarrowEntry<256>(kind, element); }

}  // namespace flashcore::cuda
