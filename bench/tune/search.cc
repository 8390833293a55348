#include "bench/tune/search.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace flashcore::bench {
namespace {

// Children drawn in vain before a search gives up on finding a new point near the population, and then at all.
constexpr int kMaxAttempts = 200;

bool Faster(const Trial& a, const Trial& b) { return a.evaluation.us < b.evaluation.us; }

// Every valid point if there are at most `limit`, else nothing.
std::vector<Point> Enumerate(const Space& space, size_t limit) {
  std::vector<Point> points;
  std::vector<size_t> index(space.dimensions.size(), 0);
  while (true) {
    Point point;
    for (size_t i = 0; i < index.size(); ++i) point.push_back(space.dimensions[i].values[index[i]]);
    if (!space.valid || space.valid(point)) {
      if (points.size() == limit) return {};
      points.push_back(std::move(point));
    }
    size_t carry = 0;
    while (carry < index.size() && ++index[carry] == space.dimensions[carry].values.size()) index[carry++] = 0;
    if (carry == index.size()) return points;
  }
}

class Searcher {
 public:
  Searcher(const Space& space, const Evaluate& evaluate, const SearchOptions& options)
      : space_(space), evaluate_(evaluate), options_(options), random_(options.seed) {}

  SearchResult Run(const std::vector<Point>& start) {
    for (const Point& point : start) {
      if (IsInSpace(point)) TryPoint(point);
    }
    const std::vector<Point> all = Enumerate(space_, options_.budget);
    for (const Point& point : all) TryPoint(point);
    result_.exhaustive = !all.empty();
    if (!result_.exhaustive) Evolve();
    ChooseBest();
    return std::move(result_);
  }

 private:
  // Distributions of the standard library differ between implementations; these do not.
  size_t Below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  bool Chance(double probability) {
    return static_cast<double>(random_()) < probability * static_cast<double>(std::mt19937_64::max());
  }

  bool IsInSpace(const Point& point) const {
    if (point.size() != space_.dimensions.size()) return false;
    for (size_t i = 0; i < point.size(); ++i) {
      const std::vector<int>& values = space_.dimensions[i].values;
      if (std::find(values.begin(), values.end(), point[i]) == values.end()) return false;
    }
    return true;
  }

  bool IsNewAndValid(const Point& point) const {
    return (!space_.valid || space_.valid(point)) && seen_.find(point) == seen_.end();
  }

  // Evaluates what is new and valid while the budget lasts, and lets it join the population if it is correct.
  bool TryPoint(const Point& point) {
    if (result_.trials.size() >= options_.budget || !IsNewAndValid(point)) return false;
    seen_.insert(point);
    const Trial trial{point, evaluate_(point)};
    result_.trials.push_back(trial);
    if (!trial.evaluation.ok) return true;
    population_.insert(std::upper_bound(population_.begin(), population_.end(), trial, Faster), trial);
    if (population_.size() > options_.population) population_.pop_back();
    return true;
  }

  void Evolve() {
    while (result_.trials.size() < options_.budget) {
      // The first generation is drawn blindly.
      const size_t first_generation = std::max<size_t>(std::min(options_.population, options_.budget / 2), 1);
      if (population_.size() >= first_generation && TryAttempts([this] { return Child(); })) continue;
      if (!TryAttempts([this] { return RandomPoint(); })) return;
    }
  }

  template <typename Draw>
  bool TryAttempts(const Draw& draw) {
    for (int i = 0; i < kMaxAttempts; ++i) {
      if (TryPoint(draw())) return true;
    }
    return false;
  }

  Point RandomPoint() {
    Point point;
    for (const Dimension& dimension : space_.dimensions) point.push_back(RandomValue(dimension));
    return point;
  }

  int RandomValue(const Dimension& dimension) { return dimension.values[Below(dimension.values.size())]; }

  const Point& Parent() {
    // The population is sorted: the first of several is the fastest.
    size_t winner = population_.size() - 1;
    for (size_t i = 0; i < options_.tournament; ++i) winner = std::min(winner, Below(population_.size()));
    return population_[winner].point;
  }

  Point Child() {
    Point child = Parent();
    if (Chance(options_.crossover_rate)) {
      const Point& other = Parent();
      for (size_t i = 0; i < child.size(); ++i) {
        if (Chance(0.5)) child[i] = other[i];
      }
    }
    for (size_t i = 0; i < child.size(); ++i) {
      if (Chance(options_.mutation_rate)) child[i] = Mutate(space_.dimensions[i], child[i]);
    }
    return child;
  }

  // As often a neighbour as any value.
  int Mutate(const Dimension& dimension, int value) {
    if (Chance(0.5)) return RandomValue(dimension);
    const auto at = std::find(dimension.values.begin(), dimension.values.end(), value);
    if (Chance(0.5)) return at == dimension.values.begin() ? value : *(at - 1);
    return at + 1 == dimension.values.end() ? value : *(at + 1);
  }

  void ChooseBest() {
    size_t confirmed = 0;
    for (const Trial& trial : population_) {
      if (confirmed == options_.finalists) return;
      const Trial again{trial.point, evaluate_(trial.point)};
      if (!again.evaluation.ok) continue;
      ++confirmed;
      if (!result_.best.has_value() || Faster(again, *result_.best)) result_.best = again;
    }
  }

  const Space& space_;
  const Evaluate& evaluate_;
  const SearchOptions options_;
  std::mt19937_64 random_;
  std::set<Point> seen_;
  std::vector<Trial> population_;  // Correct, fastest first.
  SearchResult result_;
};

}  // namespace

SearchResult Search(const Space& space, const Evaluate& evaluate, const std::vector<Point>& start,
                    const SearchOptions& options) {
  return Searcher(space, evaluate, options).Run(start);
}

}  // namespace flashcore::bench
