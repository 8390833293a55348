#include "tests/kernels/emulation/warp.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/kernels/emulation/cta.h"

namespace flashcore::emulation {
namespace {

constexpr size_t kMatrices = 4;
constexpr size_t kMatrixRows = 8;
constexpr uint32_t kLowHalf = 0xFFFF;
constexpr int kHalfBits = 16;

// What each pattern of bits is worth.
template <typename T>
const std::vector<float>& FloatTable() {
  static const std::vector<float> table = [] {
    std::vector<float> floats;
    for (uint32_t bits = 0; bits <= kLowHalf; ++bits) floats.push_back(T{static_cast<uint16_t>(bits)}.ToFloat());
    return floats;
  }();
  return table;
}

struct MatrixLoad {
  const unsigned char* row;  // That the lane gives the address of.
  uint32_t* matrix;          // Its registers.
};

template <bool kTransposed>
void LoadWarpMatrices(Operands operands) {
  const auto load = [&](size_t lane) -> const MatrixLoad& { return *static_cast<const MatrixLoad*>(operands[lane]); };
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const size_t along = lane / 4;
    const size_t pair = lane % 4 * 2;
    for (size_t m = 0; m < kMatrices; ++m) {
      const auto element = [&](size_t row, size_t column) {
        uint16_t bits = 0;
        std::memcpy(&bits, load(m * kMatrixRows + row).row + column * sizeof(bits), sizeof(bits));
        return uint32_t{bits};
      };
      const uint32_t low = kTransposed ? element(pair, along) : element(along, pair);
      const uint32_t high = kTransposed ? element(pair + 1, along) : element(along, pair + 1);
      load(lane).matrix[m] = low | high << kHalfBits;
    }
  }
}

template <bool kTransposed>
void MeetToLoad(uint32_t (&matrix)[4], uint32_t shared) {
  constexpr uint32_t kRowBytes = 16;
  MatrixLoad load = {SharedBytes(shared, kRowBytes), matrix};
  Meet(kTransposed ? "ldmatrix.trans" : "ldmatrix", &load, &LoadWarpMatrices<kTransposed>);
}

struct Product {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

// kernels/cuda/ptx.cuh draws the fragments.
template <typename T>
void MultiplyWarp(Operands operands) {
  const float* const floats = FloatTable<T>().data();
  float a[16][16];
  float b[16][8];
  float c[16][8];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const auto& own = *static_cast<const Product*>(operands[lane]);
    const size_t q = lane / 4;
    const size_t p = lane % 4 * 2;
    for (size_t i = 0; i < 4; ++i) {
      a[q + i % 2 * 8][p + i / 2 * 8] = floats[own.a[i] & kLowHalf];
      a[q + i % 2 * 8][p + i / 2 * 8 + 1] = floats[own.a[i] >> kHalfBits];
      c[q + i / 2 * 8][p + i % 2] = own.c[i];
    }
    for (size_t i = 0; i < 2; ++i) {
      b[p + i * 8][q] = floats[own.b[i] & kLowHalf];
      b[p + i * 8 + 1][q] = floats[own.b[i] >> kHalfBits];
    }
  }
  for (size_t row = 0; row < 16; ++row) {
    for (size_t depth = 0; depth < 16; ++depth) {
      for (size_t column = 0; column < 8; ++column) c[row][column] += a[row][depth] * b[depth][column];
    }
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    float* const own = static_cast<const Product*>(operands[lane])->c;
    for (size_t i = 0; i < 4; ++i) own[i] = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

struct Exchange {
  uint32_t given;
  uint32_t taken;
  size_t distance;
};

Exchange& ExchangeOf(void* operand) { return *static_cast<Exchange*>(operand); }

void ShuffleWarp(Operands operands) {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    Exchange& own = ExchangeOf(operands[lane]);
    own.taken = ExchangeOf(operands[lane ^ own.distance]).given;
  }
}

void CountVotes(Operands operands) {
  uint32_t votes = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) votes |= ExchangeOf(operands[lane]).given << lane;
  for (void* operand : operands) ExchangeOf(operand).taken = votes;
}

}  // namespace

void LoadMatrices(uint32_t (&matrix)[4], uint32_t shared) { MeetToLoad<false>(matrix, shared); }

void LoadMatricesTransposed(uint32_t (&matrix)[4], uint32_t shared) { MeetToLoad<true>(matrix, shared); }

template <typename T>
void MultiplyAccumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  Product product = {c, a, {b0, b1}};
  Meet("mma", &product, &MultiplyWarp<T>);
}
template void MultiplyAccumulate<Half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template void MultiplyAccumulate<Bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

uint32_t ShuffleXor(uint32_t value, int distance) {
  Exchange exchange = {value, 0, static_cast<size_t>(distance)};
  Meet("shfl.bfly", &exchange, &ShuffleWarp);
  return exchange.taken;
}

uint32_t Ballot(bool vote) {
  Exchange exchange = {vote ? 1U : 0U, 0, 0};
  Meet("vote", &exchange, &CountVotes);
  return exchange.taken;
}

void SyncWarp() { Meet("bar.warp", nullptr, nullptr); }

float Exp2(float x) {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  const float y = std::exp2(std::fabs(x) < kSmallest ? 0.0F : x);
  return y < kSmallest ? 0.0F : y;
}

}  // namespace flashcore::emulation
