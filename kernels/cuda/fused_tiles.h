// The tile configurations that the fused kernels are built in: one for each head_dim in hardware and kind of tile.
// Chosen by timing on an H100 (kernels/README.md has the steps) among those that spill no register and need at most
// 99 KiB of shared memory, so that compute capability 8.9 runs the same code.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_TILES_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_TILES_H_

#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

enum class TileKind : int {
  kWide,    // 128 rows: the least traffic; for grids that fill the device.
  kMid,     // 64 rows: smaller grids, and short rows of keys, where masks waste less of a smaller tile.
  kShort,   // 32 rows, keys shared among the warps: grids that cannot fill the device with taller tiles.
  kNarrow,  // 16 rows, keys shared among the warps, and among CTAs: decoding.
};
inline constexpr int kTileKinds = 4;

// Shorter head_dims run in the next of these.
inline constexpr int kNativeHeadDims[] = {32, 64, 96, 128, 192, 256};

// clang-format off
constexpr TileConfig FusedTile(int head_dim, TileKind kind) {
  //                      rows/warp  row/key groups  keys/step  stages  CTAs  reread
  switch (kind) {
    case TileKind::kWide:
      switch (head_dim) {
        case 32:  return {32,  32,  4, 1,  64,  2,  2};
        case 64:  return {64,  32,  4, 1,  64,  2,  2};
        case 96:  return {96,  32,  4, 1,  32,  4,  2};
        case 128: return {128, 32,  4, 1,  32,  2,  2,  2};
        case 192: return {192, 16,  8, 1,  64,  2,  1};
        default:  return {256, 16,  8, 1,  32,  2,  1,  2};
      }
    case TileKind::kMid:
      switch (head_dim) {
        case 32:  return {32,  16,  4, 1,  64,  2,  3};
        case 64:  return {64,  16,  4, 1,  64,  2,  3};
        case 96:  return {96,  16,  4, 1,  64,  2,  2};
        case 128: return {128, 16,  4, 1,  64,  2,  2};
        case 192: return {192, 16,  4, 1,  64,  2,  2};
        default:  return {256, 16,  4, 1,  32,  2,  2,  2};
      }
    case TileKind::kShort:
      switch (head_dim) {
        case 32:  return {32,  16,  2, 4,  32,  4,  1};
        case 64:  return {64,  16,  2, 4,  32,  4,  1};
        case 96:  return {96,  16,  2, 4,  16,  4,  1};
        case 128: return {128, 16,  2, 4,  16,  4,  1};
        case 192: return {192, 16,  2, 4,  16,  3,  1};
        default:  return {256, 16,  2, 2,  16,  4,  2,  4};
      }
    case TileKind::kNarrow:
      switch (head_dim) {
        case 32:  return {32,  16,  1, 4,  32,  4,  2};
        case 64:  return {64,  16,  1, 4,  32,  4,  2};
        case 96:  return {96,  16,  1, 4,  16,  4,  2};
        case 128: return {128, 16,  1, 4,  16,  4,  2};
        case 192: return {192, 16,  1, 4,  16,  3,  2};
        default:  return {256, 16,  1, 4,  16,  2,  2,  3};
      }
  }
  return {};
}
// clang-format on

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_TILES_H_
