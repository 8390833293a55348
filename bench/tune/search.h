// Evolutionary search over a finite configuration space, with correctness as a hard constraint.
//
// A configuration is a point: one value for each dimension. Better means faster, and only what is correct can be
// better: a point whose evaluation is not ok never becomes a parent and is never returned.
//
//   start points, then random ones -> population -> two parents, each the best of a tournament
//      -> child: each value from either parent, some moved -> evaluated -> the best of population and child stay
//
// Every point is evaluated once, finalists twice. A space of no more points than the budget is evaluated as a whole.
#ifndef FLASHCORE_BENCH_TUNE_SEARCH_H_
#define FLASHCORE_BENCH_TUNE_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace flashcore::bench {

// The values are ordered: neighbours in the list are expected to behave alike.
struct Dimension {
  std::string name;
  std::vector<int> values;
};

// The value of each dimension.
using Point = std::vector<int>;

struct Space {
  std::vector<Dimension> dimensions;  // None is empty.
  // Whether there is such a configuration at all: what is not valid is never evaluated. Pure. Null: all are valid.
  std::function<bool(const Point&)> valid;
};

struct Evaluation {
  bool ok = false;  // Correct. Whatever is not correct has no time.
  double us = 0.0;
};
using Evaluate = std::function<Evaluation(const Point&)>;

struct SearchOptions {
  uint64_t seed = 42;
  size_t budget = 100;  // Points evaluated, without the second evaluation of finalists.
  size_t population = 16;
  size_t tournament = 3;
  double crossover_rate = 0.7;  // Of children with two parents; the others have one.
  double mutation_rate = 0.3;   // Of each value of a child.
  size_t finalists = 4;         // Evaluated again, so that one lucky timing does not win.
};

struct Trial {
  Point point;
  Evaluation evaluation;
};

struct SearchResult {
  std::optional<Trial> best;  // With the time of its second evaluation. Empty: nothing was correct.
  std::vector<Trial> trials;  // First evaluations, in order.
  bool exhaustive = false;    // Every valid point was evaluated.
};

// Evaluates those `start` points first that are valid points of the space. The same arguments give the same result if
// `evaluate` does; it is called from this thread only, and never with a point that is not valid.
SearchResult Search(const Space& space, const Evaluate& evaluate, const std::vector<Point>& start,
                    const SearchOptions& options);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_SEARCH_H_
