// What the benchmarks measure: attention problems that fit on one line of a table.
//
//   1,8,512,64                          batch, query heads, tokens, head_dim; fp16
//   1,8,512,64,causal                   options follow in any order:
//   1,32,1,128,kv_heads=8,kv_len=4096   causal bf16 kv_heads=N kv_len=N window=LEFT:RIGHT soft_cap=X
//
// Pure functions.
#ifndef FLASHCORE_BENCH_KERNEL_SHAPE_H_
#define FLASHCORE_BENCH_KERNEL_SHAPE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/attention.h"

namespace flashcore::bench {

// A valid problem without pointers; tensors are contiguous [B, H, S, D], the scale is the default, no LSE.
using Shape = AttentionProblem;

// In the notation above.
std::string ToString(const Shape& shape);

// INVALID_ARGUMENT: says what is wrong and where.
absl::StatusOr<Shape> ParseShape(absl::string_view text);

// The named sets of shapes: name and members, in ParseShape's notation.
struct ShapeSet {
  absl::string_view name;
  absl::string_view meaning;
  std::vector<absl::string_view> shapes;
};
const std::vector<ShapeSet>& ShapeSets();

// Words separated by white space, each a shape or the name of a set.
absl::StatusOr<std::vector<Shape>> ParseShapes(absl::string_view text);

// Bytes of Q, K, V and O together.
size_t TensorBytes(const Shape& shape);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_SHAPE_H_
