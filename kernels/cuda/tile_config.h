// How a fused kernel cuts attention up: the one template parameter that everything else follows from.
//
//   a tile of O                                   its keys, `stages` tiles of them in shared memory at a time
//   +------------------+ rows_per_warp            +--------------+--------------+-- ...
//   | row group 0      |                          | K, V tile 0  | K, V tile 1  |
//   +------------------+                          +--------------+--------------+-- ...
//   | row group 1      |                           g0  g1  g2  g3   key groups: warps that share rows and split
//   +------------------+                                            each tile's keys, and are merged at the end
//
// A warp takes its share of a tile in steps of `keys_per_step` keys.
#ifndef FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_
#define FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_

namespace flashcore::cuda {

struct TileConfig {
  int head_dim;             // In shared memory and registers; shorter ones are padded with zeros.
  int rows_per_warp;        // 16 or 32.
  int row_groups;           // Warps side by side along the rows...
  int key_groups;           // ...and along the keys.
  int keys_per_step;        // A multiple of 16.
  int steps_per_tile;       // Of each warp.
  int stages;               // Tiles of K and V in shared memory.
  bool overlap;             // The scores of the next step are computed beside the softmax of this one; needs 3 stages.
  int min_ctas;             // On one multiprocessor: bounds the registers.
  int reread_segments = 0;  // Of Q: read from shared memory for every step, to save registers.

  constexpr int Rows() const { return rows_per_warp * row_groups; }
  constexpr int Warps() const { return row_groups * key_groups; }
  constexpr int Threads() const { return Warps() * 32; }
  constexpr int KeysPerGroup() const { return keys_per_step * steps_per_tile; }
  constexpr int Keys() const { return KeysPerGroup() * key_groups; }
  constexpr int RowBytes() const { return head_dim * 2; }
  constexpr int MatrixBytes() const { return Keys() * RowBytes(); }
  constexpr int StageBytes() const { return 2 * MatrixBytes(); }
  // Q is stored by segments of 8 chunks of 16 bytes (4 where head_dim is no multiple of 64). The first pass through the
  // last stages before those are used; the last `reread_segments` stay behind the stages.
  constexpr int SegmentBytes() const { return head_dim % 64 == 0 ? 128 : 64; }
  constexpr int QuerySegmentBytes() const { return Rows() * SegmentBytes(); }
  constexpr int RereadBytes() const { return reread_segments * QuerySegmentBytes(); }
  constexpr int StagedQueryBytes() const { return Rows() * RowBytes() - RereadBytes(); }
  constexpr int QueryStages() const { return (StagedQueryBytes() + StageBytes() - 1) / StageBytes(); }
  // Tiles on their way before Q has been read from its stages.
  constexpr int EarlyTiles() const { return stages - (QueryStages() > 1 ? QueryStages() : 1); }
  // Row pitch of a partial O: the pad keeps a warp's 8-byte stores off each other's banks.
  constexpr int PartialPitch() const { return head_dim + 8; }
  static constexpr int kRowShareBytes = 16;
  constexpr int PartialBytes() const { return key_groups * Rows() * (PartialPitch() * 4 + kRowShareBytes); }
  // Of one split of a tile, in device memory.
  constexpr int SplitShareFloats() const { return Rows() * (head_dim + kRowShareBytes / 4); }
  constexpr int SharedBytes() const {
    const int stage_bytes = stages * StageBytes() + RereadBytes();
    return key_groups > 1 && PartialBytes() > stage_bytes ? PartialBytes() : stage_bytes;
  }
};

// Compute capability 8.9 lets a CTA have 99 KiB.
inline constexpr int kMaxSharedBytes = 99 * 1024;

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_
