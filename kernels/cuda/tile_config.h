// How a fused kernel cuts attention up: the one template parameter that everything else follows from.
//
//   a tile of O                                   its keys, `stages` tiles of them in shared memory at a time
//   +------------------+ rows_per_warp            +--------------+--------------+-- ...
//   | row group 0      |                          | K, V tile 0  | K, V tile 1  |
//   +------------------+                          +--------------+--------------+-- ...
//   | row group 1      |                           g0  g1  g2  g3   key groups: warps that share rows and split
//   +------------------+                                            each tile's keys, and are merged at the end
//
// A warp takes its share of a tile, `keys_per_step` keys, in one step.
//
// Shared memory of one key group (tall_tile.cuh):  K 0 | K 1 | ... | V 0 | V 1 | ... | Q, as far as it is read again
//                                                                         Q, at first |
// Of several (short_tile.cuh):                     tile 0 | tile 1 | ... | Q           K's and then V's, in turn
#ifndef FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_
#define FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_

namespace flashcore::cuda {

struct TileConfig {
  int head_dim;             // In shared memory and registers; shorter ones are padded with zeros.
  int rows_per_warp;        // 16 or 32.
  int row_groups;           // Warps side by side along the rows...
  int key_groups;           // ...and along the keys.
  int keys_per_step;        // A multiple of 16.
  int stages;               // Tiles of K, and as many of V, in shared memory; of several key groups, tiles of either.
  int min_ctas;             // On one multiprocessor: bounds the registers.
  int reread_segments = 0;  // Of Q: read from shared memory for every step, to save registers.

  constexpr int Rows() const { return rows_per_warp * row_groups; }
  constexpr int Warps() const { return row_groups * key_groups; }
  constexpr int Threads() const { return Warps() * 32; }
  constexpr int Keys() const { return keys_per_step * key_groups; }
  constexpr int RowBytes() const { return head_dim * 2; }
  constexpr int MatrixBytes() const { return Keys() * RowBytes(); }
  constexpr int RingBytes() const { return stages * MatrixBytes(); }
  // Q is stored by segments of 8 chunks of 16 bytes (4 where head_dim is no multiple of 64). The first pass through the
  // last tiles of V before those are used; the last `reread_segments` stay behind them.
  constexpr int SegmentBytes() const { return head_dim % 64 == 0 ? 128 : 64; }
  constexpr int QuerySegmentBytes() const { return Rows() * SegmentBytes(); }
  constexpr int RereadBytes() const { return reread_segments * QuerySegmentBytes(); }
  constexpr int StagedQueryBytes() const { return Rows() * RowBytes() - RereadBytes(); }
  constexpr int QueryStages() const { return (StagedQueryBytes() + MatrixBytes() - 1) / MatrixBytes(); }
  // Tiles of K, with the tile of V before each, on their way before Q has been read.
  constexpr int EarlyTiles() const { return QueryStages() <= 1 ? stages : stages - QueryStages() + 1; }
  // Columns, by eights, that one of the warps of a row group merges and writes.
  constexpr int OwnColumnTiles() const { return head_dim / 8 / key_groups; }
  // A warp's sums over some keys as fused_epilogue.cuh hands them on: its C fragments and the three sums of every row.
  constexpr int ImageFloats(int column_tiles) const { return rows_per_warp / 16 * (column_tiles * 4 + 3) * 32; }
  // What key groups exchange through shared memory, and what a split of a tile leaves in device memory.
  constexpr int ExchangeBytes() const { return Warps() * ImageFloats(head_dim / 8) * 4; }
  constexpr int SplitShareFloats() const { return Warps() * ImageFloats(OwnColumnTiles()); }
  // Accumulators alone take half of the registers or more: what can be found again is not kept.
  constexpr bool RegistersScarce() const { return rows_per_warp * head_dim >= 2048; }
  constexpr int SharedBytes() const {
    if (key_groups == 1) return 2 * RingBytes() + RereadBytes();
    const int main_bytes = RingBytes() + Rows() * RowBytes();
    return main_bytes > ExchangeBytes() ? main_bytes : ExchangeBytes();
  }
};

// Compute capability 8.9 lets a CTA have 99 KiB.
inline constexpr int kMaxSharedBytes = 99 * 1024;

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_TILE_CONFIG_H_
