// The problems that every backend is checked on.
#ifndef FLASHCORE_TESTS_KERNELS_GRID_H_
#define FLASHCORE_TESTS_KERNELS_GRID_H_

#include <string>
#include <vector>

#include "kernels/attention.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// A name for GoogleTest and problems that can run as one batch.
struct GridCase {
  std::string name;
  std::vector<ProblemSpec> specs;
};

void PrintTo(const GridCase& grid_case, std::ostream* out);

// The founding cases: five shapes, three seeds each.
std::vector<GridCase> FoundingGrid(DType dtype);

// Shapes, options and values that have broken attention kernels before: odd head dims and lengths, groups, windows,
// soft caps, layouts with gaps, extreme values, empty sequences, mixed batches. Ordered from cheap to expensive.
std::vector<GridCase> BugGrid(DType dtype);

// Lengths that take long in the reference; few heads.
std::vector<GridCase> LongGrid(DType dtype);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_KERNELS_GRID_H_
