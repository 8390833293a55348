// The configurations that a build has, as a space to search.
#ifndef FLASHCORE_BENCH_TUNE_POINT_SPACE_H_
#define FLASHCORE_BENCH_TUNE_POINT_SPACE_H_

#include <string>
#include <vector>

#include "bench/tune/search.h"

namespace flashcore::bench {

// One dimension for each name, with the ascending values that occur in `points`; valid are exactly the points. Every
// point has as many values as there are names.
Space SpaceOf(const std::vector<std::string>& names, const std::vector<Point>& points);

// The space of pairs (point of `space`, value of `dimension`).
Space WithDimension(Space space, Dimension dimension);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_POINT_SPACE_H_
