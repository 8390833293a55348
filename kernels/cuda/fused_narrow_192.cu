#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow192(TileKind kind, Element element) { return FusedNarrowEntry<192>(kind, element); }

}  // namespace flashcore::cuda
