#include "kernels/cuda/fused.h"

namespace flashcore::cuda {

FusedKernelEntry FindFusedKernel(int head_dim, TileKind kind, Element element) {
  const bool tall = kind == TileKind::kWide || kind == TileKind::kMid;
  switch (head_dim) {
    case 32:
      return tall ? FusedTall32(kind, element) : FusedNarrow32(kind, element);
    case 64:
      return tall ? FusedTall64(kind, element) : FusedNarrow64(kind, element);
    case 96:
      return tall ? FusedTall96(kind, element) : FusedNarrow96(kind, element);
    case 128:
      return tall ? FusedTall128(kind, element) : FusedNarrow128(kind, element);
    case 192:
      return tall ? FusedTall192(kind, element) : FusedNarrow192(kind, element);
    default:
      return tall ? FusedTall256(kind, element) : FusedNarrow256(kind, element);
  }
}

}  // namespace flashcore::cuda
