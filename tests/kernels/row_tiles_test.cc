#include "kernels/cpu/row_tiles.h"

#include <gtest/gtest.h>

#include <vector>

namespace flashcore::cpu {
namespace {

AttentionProblem Shape(DType dtype, int64_t batch, int64_t num_qo_heads, int64_t num_kv_heads, int64_t q_len) {
  AttentionProblem problem;
  problem.dtype = dtype;
  problem.batch = batch;
  problem.num_qo_heads = num_qo_heads;
  problem.num_kv_heads = num_kv_heads;
  problem.q_len = q_len;
  problem.kv_len = 10;
  problem.head_dim = 64;
  return problem;
}

TEST(RowTilingTest, CoversEveryRowOnce) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16}) {
    for (const int64_t group : {1, 3, 8, 70}) {
      for (const int64_t q_len : {1, 2, 31, 32, 33, 64, 65, 200}) {
        const AttentionProblem problem = Shape(dtype, 2, 2 * group, 2, q_len);
        const RowTiling tiling(problem);
        std::vector<int> covered(static_cast<size_t>(LseElements(problem)), 0);
        for (int64_t task = 0; task < tiling.num_tasks(); ++task) {
          ASSERT_GE(tiling.num_tiles(task), 1);
          ASSERT_LE(tiling.num_tiles(task), kMaxTaskTiles);
          for (int i = 0; i < tiling.num_tiles(task); ++i) {
            const RowTile tile = tiling.Tile(task, i);
            ASSERT_LE(tile.num_rows(), kTileRows);
            EXPECT_EQ(tile.kv_head, tiling.Tile(task, 0).kv_head);
            EXPECT_EQ(tile.batch, tiling.Tile(task, 0).batch);
            for (int row = 0; row < tile.num_rows(); ++row) {
              const int64_t head = tile.first_head + row / tile.rows_per_head;
              EXPECT_EQ(head / group, tile.kv_head);
              const int64_t q_row = tile.first_row + row % tile.rows_per_head;
              ++covered[static_cast<size_t>((tile.batch * problem.num_qo_heads + head) * q_len + q_row)];
            }
          }
        }
        for (const int times : covered) ASSERT_EQ(times, 1) << "group " << group << " q_len " << q_len;
      }
    }
  }
}

TEST(RowTilingTest, PutsDecodingHeadsSideBySide) {
  const RowTiling tiling(Shape(DType::kFloat16, 1, 16, 2, 1));
  EXPECT_EQ(tiling.num_tasks(), 2);
  EXPECT_EQ(tiling.Tile(1, 0).num_heads, 8);
  EXPECT_EQ(tiling.Tile(1, 0).first_head, 8);
}

TEST(RowTilingTest, OnlyWhatHasToBeConvertedIsSharedByTiles) {
  constexpr int64_t kTiles = 4;
  const RowTiling half(Shape(DType::kFloat16, 1, 1, 1, kTiles * kTileRows));
  EXPECT_EQ(half.num_tiles(0), kMaxTaskTiles);
  EXPECT_EQ(half.num_tasks(), kTiles / kMaxTaskTiles);
  const RowTiling single(Shape(DType::kFloat32, 1, 1, 1, kTiles * kTileRows));
  EXPECT_EQ(single.num_tiles(0), 1);
  EXPECT_EQ(single.num_tasks(), kTiles);
}

TEST(RowTilingTest, NothingToDoWithoutQueries) {
  EXPECT_EQ(RowTiling(Shape(DType::kFloat16, 1, 16, 2, 0)).num_tasks(), 0);
}

}  // namespace
}  // namespace flashcore::cpu
