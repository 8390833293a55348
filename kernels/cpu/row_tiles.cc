#include "kernels/cpu/row_tiles.h"

#include <algorithm>

namespace flashcore::cpu {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// FP32 keys and values are read in place; the others pay for their conversion with two tiles.
int64_t TaskTiles(DType dtype) { return dtype == DType::kFloat32 ? 1 : kMaxTaskTiles; }

}  // namespace

RowTiling::RowTiling(const AttentionProblem& problem)
    : num_kv_heads_(problem.num_kv_heads),
      q_len_(problem.q_len),
      group_(problem.num_qo_heads / problem.num_kv_heads),
      task_tiles_(TaskTiles(problem.dtype)) {
  if (q_len_ == 0) return;
  heads_per_tile_ = std::clamp<int64_t>(kTileRows / q_len_, 1, group_);
  head_slots_ = CeilDiv(group_, heads_per_tile_);
  row_chunks_ = CeilDiv(q_len_, kTileRows);
  tasks_per_kv_head_ = CeilDiv(head_slots_ * row_chunks_, task_tiles_);
  num_tasks_ = problem.batch * num_kv_heads_ * tasks_per_kv_head_;
}

int RowTiling::num_tiles(int64_t task) const {
  const int64_t first = (task % tasks_per_kv_head_) * task_tiles_;
  return static_cast<int>(std::min(task_tiles_, head_slots_ * row_chunks_ - first));
}

RowTile RowTiling::Tile(int64_t task, int index) const {
  const int64_t head_index = task / tasks_per_kv_head_;
  const int64_t tile_index = (task % tasks_per_kv_head_) * task_tiles_ + index;
  // Heads vary fastest: the tiles of a task then see nearly the same keys. The last rows come first, because a causal
  // mask gives them the most keys and the longest tasks must not start last.
  const int64_t chunk = row_chunks_ - 1 - tile_index / head_slots_;
  const int64_t slot_head = (tile_index % head_slots_) * heads_per_tile_;

  RowTile tile;
  tile.batch = head_index / num_kv_heads_;
  tile.kv_head = head_index % num_kv_heads_;
  tile.first_head = tile.kv_head * group_ + slot_head;
  tile.first_row = chunk * kTileRows;
  tile.num_heads = static_cast<int>(std::min(heads_per_tile_, group_ - slot_head));
  tile.rows_per_head = static_cast<int>(std::min<int64_t>(kTileRows, q_len_ - tile.first_row));
  return tile;
}

}  // namespace flashcore::cpu
