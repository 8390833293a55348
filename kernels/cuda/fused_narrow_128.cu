#include "kernels/cuda/fused_entry.cuh"

namespace flashcore::cuda {

FusedKernelEntry FusedNarrow128(TileKind kind, Element element) { return FusedNarrowEntry<128>(kind, element); }

}  // namespace flashcore::cuda
