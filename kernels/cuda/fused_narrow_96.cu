#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow96(TileKind kind, Element element) { return FusedNarrowEntry<96>(kind, element); }

}  // namespace flashcore::cuda
