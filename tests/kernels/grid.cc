#include "tests/kernels/grid.h"

#include <ostream>

#include "absl/strings/str_cat.h"

namespace flashcore::testing {
namespace {

constexpr uint64_t kSeeds[] = {0, 42, 12345};

struct Lengths {
  int64_t q_len;
  int64_t kv_len;
};

ProblemSpec Spec(DType dtype, int64_t heads, Lengths lengths, int64_t head_dim) {
  ProblemSpec spec;
  spec.dtype = dtype;
  spec.num_qo_heads = heads;
  spec.q_len = lengths.q_len;
  spec.kv_len = lengths.kv_len;
  spec.head_dim = head_dim;
  return spec;
}

// With and without the causal mask.
std::vector<ProblemSpec> BothMasks(const ProblemSpec& spec) {
  ProblemSpec causal = spec;
  causal.options.causal = true;
  return {spec, causal};
}

void Append(const std::vector<ProblemSpec>& more, std::vector<ProblemSpec>& specs) {
  specs.insert(specs.end(), more.begin(), more.end());
}

GridCase HeadDims(DType dtype) {
  GridCase grid_case{.name = "HeadDims", .specs = {}};
  for (const int64_t head_dim : {1, 2, 3, 7, 8, 16, 17, 32, 40, 59, 64, 80, 96, 111, 128, 160, 192, 255, 256}) {
    Append(BothMasks(Spec(dtype, 2, {67, 101}, head_dim)), grid_case.specs);
  }
  return grid_case;
}

GridCase SmallLengths(DType dtype) {
  GridCase grid_case{.name = "Lengths", .specs = {}};
  constexpr Lengths kLengths[] = {{1, 1},   {1, 239}, {239, 1}, {2, 2},    {5, 3},     {3, 799},   {799, 3},
                                  {511, 1}, {63, 64}, {64, 63}, {65, 129}, {113, 203}, {108, 256}, {97, 95}};
  for (const Lengths lengths : kLengths) {
    for (const int64_t head_dim : {32, 80}) Append(BothMasks(Spec(dtype, 1, lengths, head_dim)), grid_case.specs);
  }
  return grid_case;
}

GridCase Groups(DType dtype) {
  GridCase grid_case{.name = "Groups", .specs = {}};
  for (const int64_t group : {1, 4, 7, 8}) {
    for (const Lengths lengths : {Lengths{1, 130}, Lengths{3, 50}, Lengths{33, 65}, Lengths{70, 70}}) {
      ProblemSpec spec = Spec(dtype, group * 2, lengths, 64);
      spec.num_kv_heads = 2;
      spec.batch = 2;
      Append(BothMasks(spec), grid_case.specs);
    }
  }
  return grid_case;
}

GridCase Windows(DType dtype) {
  GridCase grid_case{.name = "Windows", .specs = {}};
  constexpr Lengths kLengths[] = {{113, 203}, {203, 113}, {1, 600}, {300, 300}};
  for (const Lengths lengths : kLengths) {
    for (const int64_t window : {0, 3, 64, 533}) {
      for (const bool left : {false, true}) {
        ProblemSpec spec = Spec(dtype, 1, lengths, 64);
        (left ? spec.options.window_left : spec.options.window_right) = window;
        Append(BothMasks(spec), grid_case.specs);
      }
    }
    ProblemSpec both = Spec(dtype, 1, lengths, 40);
    both.options.window_left = 17;
    both.options.window_right = 5;
    grid_case.specs.push_back(both);
  }
  return grid_case;
}

GridCase SoftCaps(DType dtype) {
  GridCase grid_case{.name = "SoftCaps", .specs = {}};
  for (const float cap : {1.0f, 30.0f, 50.0f}) {
    for (const float q_scale : {1.0f, 20.0f}) {
      ProblemSpec spec = Spec(dtype, 2, {97, 130}, 64);
      spec.options.logits_soft_cap = cap;
      spec.q_scale = q_scale;
      Append(BothMasks(spec), grid_case.specs);
    }
  }
  return grid_case;
}

GridCase Layouts(DType dtype) {
  GridCase grid_case{.name = "Layouts", .specs = {}};
  for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
    for (const int64_t row_gap : {0, 1, 8}) {
      for (const int64_t head_gap : {0, 3, 64}) {
        ProblemSpec spec = Spec(dtype, 4, {70, 110}, 48);
        spec.batch = 2;
        spec.num_kv_heads = 2;
        spec.layout = layout;
        spec.row_gap = row_gap;
        spec.head_gap = head_gap;
        spec.options.causal = true;
        spec.return_lse = row_gap != 1;
        grid_case.specs.push_back(spec);
      }
    }
  }
  return grid_case;
}

GridCase ExtremeValues(DType dtype) {
  GridCase grid_case{.name = "ExtremeValues", .specs = {}};
  ProblemSpec large_q = Spec(dtype, 2, {130, 130}, 64);
  large_q.q_scale = 5.0f;
  Append(BothMasks(large_q), grid_case.specs);
  ProblemSpec large_kv = Spec(dtype, 2, {130, 130}, 64);
  large_kv.k_scale = 3.0f;
  large_kv.v_scale = 3.0f;
  Append(BothMasks(large_kv), grid_case.specs);
  // Logits of several 1e5: only the largest of a row counts.
  ProblemSpec huge = Spec(dtype, 2, {130, 130}, 64);
  huge.q_scale = 300.0f;
  huge.k_scale = 250.0f;
  Append(BothMasks(huge), grid_case.specs);
  ProblemSpec tiny_scale = Spec(dtype, 2, {50, 260}, 64);
  tiny_scale.options.sm_scale = 1e-6f;
  Append(BothMasks(tiny_scale), grid_case.specs);
  return grid_case;
}

GridCase EmptySequences(DType dtype) {
  GridCase grid_case{.name = "EmptySequences", .specs = {}};
  for (const Lengths lengths : {Lengths{0, 0}, Lengths{0, 9}, Lengths{9, 0}, Lengths{70, 0}, Lengths{3, 3}}) {
    Append(BothMasks(Spec(dtype, 2, lengths, 64)), grid_case.specs);
  }
  return grid_case;
}

}  // namespace

void PrintTo(const GridCase& grid_case, std::ostream* out) {
  *out << grid_case.name << ": " << grid_case.specs.size() << " problems";
}

std::vector<GridCase> FoundingGrid(DType dtype) {
  struct Shape {
    int64_t batch;
    int64_t heads;
    int64_t length;
  };
  constexpr Shape kShapes[] = {{1, 1, 32}, {1, 2, 64}, {1, 4, 128}, {1, 8, 512}, {4, 8, 256}};
  std::vector<GridCase> grid;
  for (const Shape& shape : kShapes) {
    for (const uint64_t seed : kSeeds) {
      ProblemSpec spec = Spec(dtype, shape.heads, {shape.length, shape.length}, 64);
      spec.batch = shape.batch;
      spec.seed = seed;
      grid.push_back({absl::StrCat("B", shape.batch, "H", shape.heads, "S", shape.length, "Seed", seed), {spec}});
    }
  }
  return grid;
}

std::vector<GridCase> BugGrid(DType dtype) {
  return {EmptySequences(dtype), SmallLengths(dtype), HeadDims(dtype),      Groups(dtype),
          Windows(dtype),        SoftCaps(dtype),     ExtremeValues(dtype), Layouts(dtype)};
}

std::vector<GridCase> LongGrid(DType dtype) {
  constexpr Lengths kLengths[] = {{16, 20000}, {1, 131072}, {1023, 1024}, {1024, 1023}, {2048, 3577}};
  std::vector<GridCase> grid;
  for (const Lengths lengths : kLengths) {
    ProblemSpec spec = Spec(dtype, 1, lengths, 32);
    spec.options.causal = true;
    grid.push_back({absl::StrCat("Q", lengths.q_len, "K", lengths.kv_len), {spec}});
  }
  return grid;
}

}  // namespace flashcore::testing
