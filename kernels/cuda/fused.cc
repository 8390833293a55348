#include "kernels/cuda/fused.h"

namespace flashcore::cuda {

FusedKernelEntry FindFusedKernel(int head_dim, TileKind kind, Element element) {
  switch (head_dim) {
    case 32:
      return FusedKernel32(kind, element);
    case 64:
      return FusedKernel64(kind, element);
    case 96:
      return FusedKernel96(kind, element);
    case 128:
      return FusedKernel128(kind, element);
    default:
      return FusedKernel256(kind, element);
  }
}

}  // namespace flashcore::cuda
