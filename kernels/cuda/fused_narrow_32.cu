#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow32(TileKind kind, Element element) { return FusedNarrowEntry<32>(kind, element); }

}  // namespace flashcore::cuda
