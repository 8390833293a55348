// How a problem is cut for the CPU: pure functions of the problem alone, so that neither the rest of a batch nor the
// number of threads can change a bit of the result.
//
// A row tile is what one pass over the keys computes: up to kTileRows query rows that read the same key/value head.
// Long queries give 64 consecutive rows of one query head; short ones (decode) put several query heads of a GQA group
// side by side. A task is a run of tiles of one key/value head: they share every block of converted keys and values.
#ifndef FLASHCORE_KERNELS_CPU_ROW_TILES_H_
#define FLASHCORE_KERNELS_CPU_ROW_TILES_H_

#include <cstdint>

#include "kernels/attention.h"

namespace flashcore::cpu {

// Query rows of a tile: SIMD lanes run along them.
inline constexpr int64_t kTileRows = 64;
// Keys of a block. Tiles take blocks at multiples of this, so a tile's sums do not depend on its neighbours.
inline constexpr int kBlockKeys = 96;
// The most tiles of a task.
inline constexpr int kMaxTaskTiles = 2;

// Row r of the tile is row first_row + r % rows_per_head of query head first_head + r / rows_per_head.
struct RowTile {
  int64_t batch = 0;
  int64_t kv_head = 0;
  int64_t first_head = 0;
  int64_t first_row = 0;
  int num_heads = 0;
  int rows_per_head = 0;

  int num_rows() const { return num_heads * rows_per_head; }
};

// The cut of one (valid) problem. Tasks and tiles are numbered from 0.
class RowTiling {
 public:
  RowTiling() = default;
  explicit RowTiling(const AttentionProblem& problem);

  int64_t num_tasks() const { return num_tasks_; }
  // Tiles of the task, at most kMaxTaskTiles; 0 <= task < num_tasks().
  int num_tiles(int64_t task) const;
  // 0 <= index < num_tiles(task).
  RowTile Tile(int64_t task, int index) const;

 private:
  int64_t num_kv_heads_ = 0;
  int64_t q_len_ = 0;
  int64_t group_ = 0;           // Query heads for each key/value head.
  int64_t heads_per_tile_ = 0;  // 1 unless whole heads fit side by side.
  int64_t head_slots_ = 0;      // Tiles that cover a group's heads at one place along the sequence.
  int64_t row_chunks_ = 0;      // Tiles along the sequence.
  int64_t task_tiles_ = 0;
  int64_t tasks_per_kv_head_ = 0;
  int64_t num_tasks_ = 0;
};

}  // namespace flashcore::cpu

#endif  // FLASHCORE_KERNELS_CPU_ROW_TILES_H_
