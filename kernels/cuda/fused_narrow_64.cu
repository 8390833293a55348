#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow64(TileKind kind, Element element) { return FusedNarrowEntry<64>(kind, element); }

}  // namespace flashcore::cuda
