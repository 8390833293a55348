// The two matrix products, as one register-tiled loop.
//
//   S^T [keys, rows] = K [keys, D] * Q^T [D, rows]          O^T [D, rows] += V^T [D, keys] * P^T [keys, rows]
//
// Both are  C [M, rows] = A [M, T] * B [T, rows]: A's elements are broadcast from where they lie (K row by row, V
// column by column, neither ever packed or transposed), B and C are contiguous with kTileRows columns.
// Compiled once for each instruction set: include only from a file that uses foreach_target.h.
#if defined(FLASHCORE_KERNELS_CPU_TILE_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLASHCORE_KERNELS_CPU_TILE_PRODUCT_INL_H_
#undef FLASHCORE_KERNELS_CPU_TILE_PRODUCT_INL_H_
#else
#define FLASHCORE_KERNELS_CPU_TILE_PRODUCT_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flashcore::cpu::HWY_NAMESPACE {

// Vector registers of the instruction set decide the register tile: kM x kVectors accumulators, kVectors of B and a
// broadcast must fit. 6 x 4 is 24 + 4 + 1 of 32; 6 x 2 is 12 + 2 + 1 of 16.
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
inline constexpr int kMaxVectors = 2;
#else
inline constexpr int kMaxVectors = 4;
#endif
inline constexpr int kAccumulators = 6 * kMaxVectors;
// Narrow tiles take more rows of A, for enough independent sums to hide an addition's latency.
inline constexpr int kMaxM = 12;
constexpr int TileM(int vectors) { return kAccumulators / vectors < kMaxM ? kAccumulators / vectors : kMaxM; }

// A [M, T], read as element (m, t) = data[m * m_stride + t * t_stride]; one of the strides is 1.
struct Broadcast {
  const float* data;
  ptrdiff_t stride;  // The one that is not 1.
};

enum class Walk { kAlongRows, kAlongColumns };  // t_stride is 1 (K), or m_stride is (V).

// What becomes of a finished C: replaces it, or C = C * scale + product, scale being one vector per row of lanes.
enum class Update { kReplace, kRescaleAndAdd };

template <int kM, int kVectors, Walk kWalk, Update kUpdate>
HWY_INLINE void ProductTile(Broadcast a, const float* HWY_RESTRICT b, int count, const float* HWY_RESTRICT scale,
                            float* HWY_RESTRICT c) {
  const FloatTag d;
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  Floats sum[kM][kVectors];
#pragma GCC unroll 12
  for (int m = 0; m < kM; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) sum[m][n] = hn::Zero(d);
  }
  const float* a_data = a.data;
  for (int t = 0; t < count; ++t) {
    Floats column[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) column[n] = hn::Load(d, b + n * lanes);
#pragma GCC unroll 12
    for (int m = 0; m < kM; ++m) {
      const Floats element = hn::Set(d, kWalk == Walk::kAlongRows ? a_data[m * a.stride] : a_data[m]);
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) sum[m][n] = hn::MulAdd(element, column[n], sum[m][n]);
    }
    a_data += kWalk == Walk::kAlongRows ? 1 : a.stride;
    b += kTileRows;
  }
#pragma GCC unroll 12
  for (int m = 0; m < kM; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) {
      float* out = c + m * kTileRows + n * lanes;
      if constexpr (kUpdate == Update::kReplace) {
        hn::Store(sum[m][n], d, out);
      } else {
        hn::Store(hn::MulAdd(hn::Load(d, out), hn::Load(d, scale + n * lanes), sum[m][n]), d, out);
      }
    }
  }
}

// C's rows [0, m_count), kVectors vectors wide, in tiles of kM rows and then of what is left.
template <int kM, int kVectors, Walk kWalk, Update kUpdate>
HWY_INLINE void ProductStrip(Broadcast a, int m_count, const float* b, int count, const float* scale, float* c) {
  const ptrdiff_t m_stride = kWalk == Walk::kAlongRows ? a.stride : 1;
  int m = 0;
  for (; m + kM <= m_count; m += kM) {
    ProductTile<kM, kVectors, kWalk, kUpdate>(a, b, count, scale, c);
    a.data += kM * m_stride;
    c += kM * kTileRows;
  }
  if constexpr (kM > 1) {
    constexpr int kNextM = kM > 4 ? 4 : kM / 2;
    if (m < m_count) ProductStrip<kNextM, kVectors, kWalk, kUpdate>(a, m_count - m, b, count, scale, c);
  }
}

// The vectors that hold `rows` lanes, rounded up to what Product covers without a narrow remainder.
HWY_INLINE int PaddedVectors(int rows) {
  const int lanes = static_cast<int>(hn::Lanes(FloatTag()));
  const int vectors = (rows + lanes - 1) / lanes;
  constexpr int kWide = 4;
  return kMaxVectors == kWide && vectors % kWide == kWide - 1 ? vectors + 1 : vectors;
}

// C [m_count, vectors * lanes] from A [m_count, count] and B [count, vectors * lanes].
template <Walk kWalk, Update kUpdate>
HWY_NOINLINE void Product(Broadcast a, int m_count, const float* b, int count, int vectors, const float* scale,
                          float* c) {
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(FloatTag()));
  int n = 0;
  for (; n + kMaxVectors <= vectors; n += kMaxVectors) {
    const ptrdiff_t lane = n * lanes;
    ProductStrip<TileM(kMaxVectors), kMaxVectors, kWalk, kUpdate>(a, m_count, b + lane, count, scale + lane, c + lane);
  }
  constexpr int kPair = 2;
  for (; n + kPair <= vectors; n += kPair) {
    const ptrdiff_t lane = n * lanes;
    ProductStrip<TileM(kPair), kPair, kWalk, kUpdate>(a, m_count, b + lane, count, scale + lane, c + lane);
  }
  for (; n < vectors; ++n) {
    const ptrdiff_t lane = n * lanes;
    ProductStrip<TileM(1), 1, kWalk, kUpdate>(a, m_count, b + lane, count, scale + lane, c + lane);
  }
}

}  // namespace flashcore::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FLASHCORE_KERNELS_CPU_TILE_PRODUCT_INL_H_
