// Tiles of 16-bit elements in shared memory: where an element lies, and how rows get there from global memory.
//
// A row is a run of 16-byte chunks. Chunk c of row r lies at chunk c ^ Swizzle(r) of that row, which puts the eight
// rows of every 8x8 matrix that ldmatrix reads, and the eight chunks that neighbouring lanes write, on different banks:
//
//   128-byte rows   r 0:  0 1 2 3 4 5 6 7        64-byte rows, two to a line   r 0, 1:  0 1 2 3   0 1 2 3
//                   r 1:  1 0 3 2 5 4 7 6                                      r 2, 3:  1 0 3 2   1 0 3 2
//                   r 2:  2 3 0 1 6 7 4 5                                      r 4, 5:  2 3 0 1   2 3 0 1
#ifndef FLASHCORE_KERNELS_CUDA_SHARED_TILE_CUH_
#define FLASHCORE_KERNELS_CUDA_SHARED_TILE_CUH_

#include <cstdint>

#include "kernels/cuda/ptx.cuh"

namespace flashcore::cuda {

template <int kHeadDim>
struct SharedRow {
  static_assert(kHeadDim % 32 == 0);
  static constexpr int kElementBytes = 2;
  static constexpr int kElementsPerChunk = kVectorBytes / kElementBytes;
  static constexpr int kChunks = kHeadDim / kElementsPerChunk;
  static constexpr int kBytes = kHeadDim * kElementBytes;
  // Chunks are swizzled within segments of this many.
  static constexpr int kSegment = kChunks % 8 == 0 ? 8 : 4;
  static constexpr int kSegmentBytes = kSegment * kVectorBytes;
  static constexpr int kSegments = kChunks / kSegment;
  // Rows this far apart are swizzled alike.
  static constexpr int kPeriod = 8;

  __device__ static int Swizzle(int row) { return kSegment == 8 ? row & 7 : (row >> 1) & 3; }
  // In bytes from the tile's start.
  __device__ static uint32_t Offset(int row, int chunk) {
    return static_cast<uint32_t>(row * kBytes + (chunk ^ Swizzle(row)) * kVectorBytes);
  }
};

// A lane's addresses for ldmatrix on 16 rows by 16 columns, by the order that the four 8x8 matrices come in:
//
//   kAcross   0 1      so that registers 0, 1 hold the upper rows and 2, 3 the lower ones
//             2 3
//   kDown     0 2      so that registers 0, 1 hold the left columns and 2, 3 the right ones
//             1 3
//
// Either way the pair is what one mma takes as B, and has to be neighbours: K goes across; V, transposed, goes down.
enum class MatrixOrder { kAcross, kDown };

template <int kHeadDim, MatrixOrder kOrder>
struct LaneOffset {
  using Row = SharedRow<kHeadDim>;
  static constexpr int kLoadsPerSegment = Row::kSegment / 2;

  int row;
  uint32_t offset;

  __device__ explicit LaneOffset(int lane) {
    const int matrix = lane / 8;
    row = (kOrder == MatrixOrder::kAcross ? matrix / 2 : matrix % 2) * 8 + lane % 8;
    offset = Opaque(Row::Offset(row, kOrder == MatrixOrder::kAcross ? matrix % 2 : matrix / 2));
  }

  // For rows 16 * row_block on and columns 16 * column_block on of the tile at `shared`, which starts on 128 bytes. The
  // swizzle is an exclusive or, and so is a step along the segment.
  __device__ uint32_t At(uint32_t shared, int row_block, int column_block) const {
    return ((shared + offset) ^ static_cast<uint32_t>(column_block % kLoadsPerSegment * 2 * kVectorBytes)) +
           static_cast<uint32_t>(row_block * 16 * Row::kBytes + column_block / kLoadsPerSegment * Row::kSegmentBytes);
  }
};

// How kThreads threads move rows: each owns one chunk of every segment, in every kRowsPerPass-th row.
template <int kHeadDim, int kThreads>
struct RowMover {
  using Row = SharedRow<kHeadDim>;
  static constexpr int kRowsPerPass = kThreads / Row::kSegment;
  // Half a period further, the swizzle has one more bit.
  static constexpr bool kHalfPeriods = kRowsPerPass * 2 == Row::kPeriod && Row::kSegment == 8;
  static_assert(kRowsPerPass % Row::kPeriod == 0 || kHalfPeriods);

  int row;                  // The thread's first.
  int chunk;                // Its chunk of the first segment.
  uint32_t shared;          // Offset of that chunk in a tile.
  uint32_t segment_shared;  // The same in a tile that is stored segment by segment.
  int valid_columns;        // Of the row, from this chunk's first column on; the rest become zeros.

  __device__ RowMover(int thread, int head_dim)
      : row(thread / Row::kSegment),
        chunk(thread % Row::kSegment),
        shared(Row::Offset(row, chunk)),
        segment_shared(shared - static_cast<uint32_t>(row * (Row::kBytes - Row::kSegmentBytes))),
        valid_columns(head_dim - chunk * Row::kElementsPerChunk) {}

  __device__ bool ColumnValid(int segment) const {
    return valid_columns > segment * Row::kSegment * Row::kElementsPerChunk;
  }
  __device__ uint32_t SharedOffset(int pass, int segment) const {
    const uint32_t swizzle = kHalfPeriods && pass % 2 == 1 ? kRowsPerPass * kVectorBytes : 0U;
    return (shared ^ swizzle) + static_cast<uint32_t>(pass * kRowsPerPass * Row::kBytes + segment * Row::kSegmentBytes);
  }
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_SHARED_TILE_CUH_
