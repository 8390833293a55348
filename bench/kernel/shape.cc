#include "bench/kernel/shape.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore::bench {
namespace {

constexpr size_t kPositionalFields = 4;

absl::Status Malformed(absl::string_view text, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("shape '", text, "': ", reason));
}

// A window's bound; "" is none.
bool ParseBound(absl::string_view text, int64_t& bound) {
  bound = -1;
  return text.empty() || (absl::SimpleAtoi(text, &bound) && bound >= 0);
}

bool ParseWindow(absl::string_view text, AttentionOptions& options) {
  const std::pair<absl::string_view, absl::string_view> bounds = absl::StrSplit(text, absl::MaxSplits(':', 1));
  return ParseBound(bounds.first, options.window_left) && ParseBound(bounds.second, options.window_right);
}

bool ParseOption(absl::string_view field, Shape& shape) {
  const std::pair<absl::string_view, absl::string_view> option = absl::StrSplit(field, absl::MaxSplits('=', 1));
  const auto& [name, value] = option;
  if (field == "causal") {
    shape.options.causal = true;
    return true;
  }
  if (field == "bf16") {
    shape.dtype = DType::kBFloat16;
    return true;
  }
  if (name == "kv_heads") return absl::SimpleAtoi(value, &shape.num_kv_heads);
  if (name == "kv_len") return absl::SimpleAtoi(value, &shape.kv_len);
  if (name == "soft_cap") return absl::SimpleAtof(value, &shape.options.logits_soft_cap);
  return name == "window" && ParseWindow(value, shape.options);
}

void SetContiguous(Shape& shape) {
  shape.q_strides = StridesBhsd(shape.num_qo_heads, shape.q_len, shape.head_dim);
  shape.k_strides = StridesBhsd(shape.num_kv_heads, shape.kv_len, shape.head_dim);
  shape.v_strides = shape.k_strides;
  shape.o_strides = shape.q_strides;
}

std::string BoundText(int64_t bound) { return bound < 0 ? "" : absl::StrCat(bound); }

}  // namespace

std::string ToString(const Shape& shape) {
  const AttentionOptions& options = shape.options;
  std::string text = absl::StrCat(shape.batch, ",", shape.num_qo_heads, ",", shape.q_len, ",", shape.head_dim);
  if (shape.num_kv_heads != shape.num_qo_heads) absl::StrAppend(&text, ",kv_heads=", shape.num_kv_heads);
  if (shape.kv_len != shape.q_len) absl::StrAppend(&text, ",kv_len=", shape.kv_len);
  if (options.causal) absl::StrAppend(&text, ",causal");
  if (options.window_left >= 0 || options.window_right >= 0) {
    absl::StrAppend(&text, ",window=", BoundText(options.window_left), ":", BoundText(options.window_right));
  }
  if (options.logits_soft_cap > 0) absl::StrAppend(&text, ",soft_cap=", options.logits_soft_cap);
  if (shape.dtype == DType::kBFloat16) absl::StrAppend(&text, ",bf16");
  return text;
}

absl::StatusOr<Shape> ParseShape(absl::string_view text) {
  const std::vector<absl::string_view> fields = absl::StrSplit(text, ',');
  Shape shape;
  const std::array<int64_t*, kPositionalFields> positional = {&shape.batch, &shape.num_qo_heads, &shape.q_len,
                                                              &shape.head_dim};
  if (fields.size() < positional.size()) return Malformed(text, "expected batch,heads,tokens,head_dim[,option...]");
  for (size_t i = 0; i < positional.size(); ++i) {
    if (!absl::SimpleAtoi(fields[i], positional[i])) {
      return Malformed(text, absl::StrCat("'", fields[i], "' is not a number"));
    }
  }
  shape.num_kv_heads = shape.num_qo_heads;
  shape.kv_len = shape.q_len;
  shape.options.sm_scale = DefaultScale(shape.head_dim);
  for (size_t i = positional.size(); i < fields.size(); ++i) {
    if (!ParseOption(fields[i], shape)) return Malformed(text, absl::StrCat("'", fields[i], "' is no option"));
  }
  const absl::Status status = ValidateProblem(shape);
  if (!status.ok()) return Malformed(text, status.message());
  SetContiguous(shape);
  return shape;
}

const std::vector<ShapeSet>& ShapeSets() {
  static const std::vector<ShapeSet>* const kSets = new std::vector<ShapeSet>{
      {"mission",
       "the shape that the project was founded on, and its causal variant",
       {"1,8,512,64", "1,8,512,64,causal"}},
      {"grid",
       "small to large, for a whole data-centre GPU",
       {"1,8,512,64", "1,8,512,64,causal", "8,8,512,64", "32,8,512,64", "1,8,2048,64", "2,16,2048,128", "4,16,4096,128",
        "4,16,4096,128,causal", "2,32,8192,64", "2,32,8192,64,causal"}},
      {"slice",
       "for a GPU of the L4's size, or a slice of that size",
       {"8,8,512,64", "32,8,512,64", "1,8,2048,64", "2,16,2048,128", "2,16,2048,128,causal", "2,16,4096,64"}},
      {"long", "16384 tokens", {"1,32,16384,64", "1,32,16384,64,causal", "1,16,16384,128", "1,16,16384,128,causal"}},
      {"decode",
       "few queries, many keys",
       {"1,32,1,128,kv_heads=8,kv_len=8192", "16,32,1,128,kv_heads=8,kv_len=4096", "64,8,1,64,kv_len=2048"}},
      {"tuning",
       "small and middling ones of many kinds, where plans differ most",
       {"1,8,128,64",
        "1,8,256,64",
        "1,8,1024,64",
        "1,8,256,64,causal",
        "1,8,1024,64,causal",
        "1,8,2048,64,causal",
        "4,8,256,64",
        "8,8,1024,64,causal",
        "1,16,256,128",
        "1,16,512,128",
        "1,16,1024,128",
        "1,16,512,128,causal",
        "1,16,1024,128,causal",
        "16,16,512,128,causal",
        "1,8,512,32",
        "1,8,512,96",
        "1,8,512,256",
        "1,8,512,256,causal",
        "1,8,4096,64,window=256:0",
        "1,32,1,128,kv_heads=8,kv_len=1024",
        "1,32,1,128,kv_heads=8,kv_len=32768",
        "8,32,1,128,kv_heads=8,kv_len=2048",
        "4,8,1,64,kv_len=4096",
        "1,32,16,128,kv_heads=8,kv_len=4096,causal",
        "2,8,64,64,kv_len=2048"}},
  };
  return *kSets;
}

absl::StatusOr<std::vector<Shape>> ParseShapes(absl::string_view text) {
  std::vector<absl::string_view> notations;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty())) {
    const auto set = std::find_if(ShapeSets().begin(), ShapeSets().end(),
                                  [word](const ShapeSet& candidate) { return candidate.name == word; });
    if (set == ShapeSets().end()) {
      notations.push_back(word);
    } else {
      notations.insert(notations.end(), set->shapes.begin(), set->shapes.end());
    }
  }
  std::vector<Shape> shapes;
  for (absl::string_view notation : notations) {
    absl::StatusOr<Shape> shape = ParseShape(notation);
    if (!shape.ok()) return shape.status();
    shapes.push_back(*shape);
  }
  if (shapes.empty()) return absl::InvalidArgumentError("no shapes were given");
  return shapes;
}

size_t TensorBytes(const Shape& shape) {
  const int64_t elements = 2 * (QueryElements(shape) + KeyValueElements(shape));
  return static_cast<size_t>(elements) * SizeOf(shape.dtype);
}

}  // namespace flashcore::bench
