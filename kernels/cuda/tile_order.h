// In what order a launch's CTAs run, and which tile and share of a problem each takes: fused_batch.h has the picture.
// The same arithmetic on the device and, for tests, on the host.
#ifndef FLASHCORE_KERNELS_CUDA_TILE_ORDER_H_
#define FLASHCORE_KERNELS_CUDA_TILE_ORDER_H_

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/fused_batch.h"

namespace flashcore::cuda {

struct TilePlace {
  int unit;
  int tile;        // Of the unit.
  int split_tile;  // Which of the tiles that are split; negative: this one is whole, though the problem's last are not.
  int split;
};

#ifdef __CUDACC__
#define FLASHCORE_DEVICE_OR_TEST __device__ inline
#else
#define FLASHCORE_DEVICE_OR_TEST constexpr
#endif

// The CTA of a launch that runs in place `place` of `ctas`. Odd rounds run backwards.
FLASHCORE_DEVICE_OR_TEST int CtaInPlace(int place, int ctas, int round_ctas, const Divisor& by_round_ctas) {
  if (place < round_ctas) return place;
  const int round = Quotient(place, by_round_ctas);
  const int first = round * round_ctas;
  const int last = (ctas - first < round_ctas ? ctas : first + round_ctas) - 1;
  return round % 2 == 0 ? place : last - (place - first);
}

// Of the problem's CTA `cta`, counted from 0.
FLASHCORE_DEVICE_OR_TEST TilePlace PlaceOfCta(const FusedProblem& problem, int cta) {
  TilePlace place = {0, 0, 0, 0};
  // Splits of a tile are neighbours...
  int rank = cta;
  if (problem.splits > 1) {
    const int shares = cta - problem.whole_tiles;
    place.split_tile = shares;
    if (shares >= 0) {
      place.split_tile = Quotient(shares, problem.by_splits);
      place.split = shares - place.split_tile * problem.splits;
      rank = problem.whole_tiles + place.split_tile;
    }
  }
  int first_unit = 0;
  int units = problem.units;
  if (problem.units_per_section < problem.units) {
    first_unit = Quotient(rank, problem.by_section_tiles) * problem.units_per_section;
    rank -= first_unit * problem.tiles_per_unit;
    const int left = problem.units - first_unit;
    units = left < problem.units_per_section ? left : problem.units_per_section;
  }
  // ...then come the units; then the tiles, the last and longest one first.
  const int round = units == problem.units_per_section ? Quotient(rank, problem.by_section_units) : rank / units;
  place.unit = first_unit + rank - round * units;
  place.tile = problem.tiles_per_unit - 1 - round;
  return place;
}

#undef FLASHCORE_DEVICE_OR_TEST

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_TILE_ORDER_H_
