// The PTX that the tensor-core kernels are made of: one instruction a function, from compute capability 8.0 on.
//
// Fragments of mma.m16n8k16. `q` = lane / 4 and `p` = 2 * (lane % 4); each register holds two neighbouring columns.
//
//   A [16 x 16], row major        B [16 x 8]                    C [16 x 8], float
//          p    p + 8                     q (column)                  p  p + 1
//   q      a[0] a[2]              p      b[0]                  q      c0 c1
//   q + 8  a[1] a[3]              p + 8  b[1]                  q + 8  c2 c3
//
// A C fragment pair of neighbouring column tiles, packed to 16 bits, is therefore an A fragment: that is how P = exp(S)
// goes from the first product to the second without leaving registers.
#ifndef FLASHCORE_KERNELS_CUDA_PTX_CUH_
#define FLASHCORE_KERNELS_CUDA_PTX_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace flashcore::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;
// What one cp.async, and one row of an ldmatrix matrix, moves.
inline constexpr int kVectorBytes = 16;

// In the CTA. The compiler may know that it is not negative: quotients are shifts then.
__device__ inline int ThreadIndex() {
  const int thread = static_cast<int>(threadIdx.x);
  __builtin_assume(thread >= 0);
  return thread;
}

__device__ inline uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Copies 16 bytes, past L1, into shared memory; zeros if not `valid`, and then `global` is not read.
__device__ inline void CopyAsync(uint32_t shared, const void* global, bool valid) {
  const int bytes = valid ? kVectorBytes : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}

// Closes the group of this thread's copies since the last commit.
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of this thread's latest groups are still under way.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Waits for the other threads of barrier `id`, 1 to 15; all of kThreads threads have to come.
template <int kThreads>
__device__ inline void BarrierOf(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kThreads) : "memory");
}

// Four 8x8 matrices of 16-bit elements; lanes 8m to 8m + 7 give the addresses of matrix m's rows. Register m gets, in
// lane l, elements [l / 4][2 * (l % 4)] and the one to its right.
__device__ inline void LoadMatrices(uint32_t (&matrix)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(shared)
               : "memory");
}

// The same with each matrix transposed: elements [2 * (l % 4)][l / 4] and the one below it.
__device__ inline void LoadMatricesTransposed(uint32_t (&matrix)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(shared)
               : "memory");
}

// c += a * b.
template <typename T>
__device__ void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ inline void MultiplyAccumulate<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ inline void MultiplyAccumulate<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// `x`, but the compiler cannot know: what is computed from it is not shared with what was computed before, and it is
// kept in a register rather than computed again.
template <typename Word>
__device__ Word Opaque(Word x) {
  static_assert(sizeof(x) == sizeof(uint32_t));
  asm volatile("" : "+r"(x));
  return x;
}

// 2^x; 0 for -inf.
__device__ inline float Exp2(float x) {
  float y;
  asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two floats to two 16-bit elements, `low` in the low half.
template <typename T>
__device__ uint32_t Pack(float low, float high);

template <>
__device__ inline uint32_t Pack<__half>(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

template <>
__device__ inline uint32_t Pack<__nv_bfloat16>(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_PTX_CUH_
