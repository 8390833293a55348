// What the lanes of an emulated warp do together, and the arithmetic of a GPU that a host has otherwise.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_WARP_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_WARP_H_

#include <cstdint>

#include "kernels/base/float16.h"

namespace flashcore::emulation {

// As CUDA's types of 16 bits.
struct Half {
  static Half From(float value) { return {FloatToHalf(value)}; }
  float ToFloat() const { return HalfToFloat(bits); }
  uint16_t bits;
};
struct Bfloat16 {
  static Bfloat16 From(float value) { return {FloatToBfloat16(value)}; }
  float ToFloat() const { return Bfloat16ToFloat(bits); }
  uint16_t bits;
};
template <typename T>
struct PairOf {
  T x;
  T y;
};
// Of both halves; NaN equals nothing.
template <typename T>
bool Equal(PairOf<T> a, PairOf<T> b) {
  return a.x.ToFloat() == b.x.ToFloat() && a.y.ToFloat() == b.y.ToFloat();
}

// ldmatrix.x4; kernels/cuda/ptx.cuh says what goes where.
void LoadMatrices(uint32_t (&matrix)[4], uint32_t shared);
void LoadMatricesTransposed(uint32_t (&matrix)[4], uint32_t shared);

// mma.m16n8k16: c += a * b, rounded to float after each product. T is Half or Bfloat16.
template <typename T>
void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

// What the lane `distance` away brought, by exclusive or of their numbers.
uint32_t ShuffleXor(uint32_t value, int distance);

// A bit for each lane that votes for it.
uint32_t Ballot(bool vote);

void SyncWarp();

// ex2.approx.ftz: no subnormals.
float Exp2(float x);

}  // namespace flashcore::emulation

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_WARP_H_
