#include "bench/tune/plan_space.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace flashcore::bench {
namespace {

constexpr size_t kKind = 0;
constexpr size_t kCtasPerSm = 1;
constexpr size_t kMinKeys = 2;

// 0 is never to split.
const std::vector<int>& CtasPerSmValues() {
  static const std::vector<int>* const kValues = new std::vector<int>{0, 1, 2, 3, 4};
  return *kValues;
}
const std::vector<int>& MinKeysValues() {
  static const std::vector<int>* const kValues = new std::vector<int>{64, 128, 192, 256, 384, 512, 1024, 2048};
  return *kValues;
}

// As FusedClass rounds: exponent e stands for the sizes up to 2^e that e - 1 does not.
std::string Sizes(int exponent) {
  const int64_t last = int64_t{1} << exponent;
  return exponent <= 1 ? absl::StrCat(last) : absl::StrCat(last / 2 + 1, "-", last);
}

int64_t CeilDiv(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

// That are valid.
std::vector<Point> AllPoints(const Space& space) {
  std::vector<Point> points;
  for (const int kind : space.dimensions[kKind].values) {
    for (const int ctas_per_sm : space.dimensions[kCtasPerSm].values) {
      for (const int min_keys : space.dimensions[kMinKeys].values) {
        const Point point = {kind, ctas_per_sm, min_keys};
        if (space.valid(point)) points.push_back(point);
      }
    }
  }
  return points;
}

}  // namespace

std::vector<ProblemClass> GroupByClass(absl::Span<const AttentionProblem> problems, const cuda::DeviceLimits& device) {
  std::vector<ProblemClass> classes;
  for (const AttentionProblem& problem : problems) {
    if (!cuda::FusedSupports(problem) || problem.q_len == 0) continue;
    const cuda::FusedClass of = cuda::ClassOf(problem, device);
    auto known = std::find_if(classes.begin(), classes.end(), [&of](const ProblemClass& c) { return c.of == of; });
    if (known == classes.end()) known = classes.insert(classes.end(), {of, {}});
    known->problems.push_back(problem);
  }
  return classes;
}

void AddRelative(ProblemClass& of, const cuda::DeviceLimits& device) {
  if (of.problems.size() != 1) return;
  for (const int64_t sixteenths : {12, 14, 15}) {
    AttentionProblem relative = of.problems.front();
    relative.q_len = CeilDiv(relative.q_len * sixteenths, 16);
    relative.kv_len = CeilDiv(relative.kv_len * sixteenths, 16);
    relative.q_strides = StridesBhsd(relative.num_qo_heads, relative.q_len, relative.head_dim);
    relative.k_strides = StridesBhsd(relative.num_kv_heads, relative.kv_len, relative.head_dim);
    relative.v_strides = relative.k_strides;
    relative.o_strides = relative.q_strides;
    if (cuda::ClassOf(relative, device) != of.of) continue;
    of.problems.push_back(relative);
    return;
  }
}

Space PlanSpace() {
  std::vector<int> kinds;
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) kinds.push_back(kind);
  Space space;
  space.dimensions = {{"kind", kinds}, {"ctas_per_sm", CtasPerSmValues()}, {"min_keys", MinKeysValues()}};
  space.valid = [](const Point& point) { return point[kCtasPerSm] != 0 || point[kMinKeys] == MinKeysValues().front(); };
  return space;
}

std::vector<Point> UnsplitPoints() {
  std::vector<Point> points;
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) points.push_back({kind, 0, MinKeysValues().front()});
  return points;
}

std::vector<Point> PredictedPoints(const ProblemClass& of, const cuda::DeviceLimits& device, size_t count) {
  struct Predicted {
    double log_us = 0.0;
    Point point;
  };
  std::vector<Predicted> all;
  std::set<std::vector<PlanKey>> seen;
  for (const Point& point : AllPoints(PlanSpace())) {
    Predicted predicted = {0.0, point};
    std::vector<PlanKey> keys;
    for (const AttentionProblem& problem : of.problems) {
      const cuda::FusedPlan plan = cuda::PlanFusedAs(problem, device, ChoiceOf(point));
      const cuda::ModelledTiles tiles = cuda::ModelTiles(problem, device, plan.kind);
      predicted.log_us += std::log(
          cuda::PredictUs(cuda::FittedCost(plan.head_dim, plan.kind), tiles.tile, tiles.sample, plan.cut(), tiles.on));
      keys.push_back(KeyOf(plan));
    }
    if (seen.insert(keys).second) all.push_back(predicted);
  }
  std::stable_sort(all.begin(), all.end(), [](const Predicted& a, const Predicted& b) { return a.log_us < b.log_us; });
  std::vector<Point> points;
  for (size_t i = 0; i < std::min(count, all.size()); ++i) points.push_back(all[i].point);
  return points;
}

cuda::FusedChoice ChoiceOf(const Point& point) {
  return {static_cast<cuda::TileKind>(point[kKind]), {.ctas_per_sm = point[kCtasPerSm], .min_keys = point[kMinKeys]}};
}

PlanKey KeyOf(const cuda::FusedPlan& plan) {
  return {static_cast<int>(plan.kind), plan.splits, plan.keys_per_split, plan.whole_tiles};
}

cuda::FusedPlan PlanOf(const AttentionProblem& problem, const cuda::DeviceLimits& device, const PlanKey& key) {
  assert(key.size() == 4);
  cuda::FusedPlan plan = cuda::PlanFusedAs(problem, device, {static_cast<cuda::TileKind>(key[0]), {}});
  plan.splits = key[1];
  plan.keys_per_split = key[2];
  plan.whole_tiles = key[3];
  return plan;
}

std::vector<int> TableKey(const cuda::FusedClass& of) { return {of.head_dim, of.masked, of.rows, of.keys, of.fill}; }

std::vector<std::string> TableKeyNames() { return {"head_dim", "masked", "rows", "keys", "fill"}; }

std::vector<std::string> ChoiceNames() { return {"kind", "ctas_per_sm", "min_keys"}; }

absl::string_view ToString(cuda::TileKind kind) {
  constexpr absl::string_view kNames[cuda::kTileKinds] = {"wide", "mid", "short", "narrow"};
  return kNames[static_cast<int>(kind)];
}

std::string ToString(const cuda::FusedClass& of) {
  return absl::StrCat("head_dim ", of.head_dim, of.masked != 0 ? ", masked, " : ", ", Sizes(of.rows), " rows, ",
                      Sizes(of.keys), " keys, ", Sizes(of.fill), " rows for each SM");
}

std::string ToString(const cuda::FusedPlan& plan) {
  const cuda::TileConfig tile = plan.tile();
  std::string rows = absl::StrCat(tile.Rows(), "-row tiles");
  if (plan.whole_tiles > 0) absl::StrAppend(&rows, ", ", plan.whole_tiles, " of ", plan.tiles(), " whole");
  return plan.splits == 1 ? rows : absl::StrCat(rows, ", ", plan.splits, " splits of ", plan.keys_per_split, " keys");
}

}  // namespace flashcore::bench
