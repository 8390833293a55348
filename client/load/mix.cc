#include "client/load/mix.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace flashcore {
namespace {

constexpr absl::string_view kShapeHelp = "B,H,S,D or B,Hq,Hkv,Sq,Skv,D";
constexpr absl::string_view kOptionHelp =
    "fp16, bf16, fp32, bhsd, bshd, causal, lse, window_left=N, window_right=N, soft_cap=X, sm_scale=X, "
    "priority=low|normal|high, weight=X";

// Self-attention of the size that the project is measured by.
constexpr absl::string_view kMission = "1,8,512,64";

// One of everything that a server must get right: dtypes, layouts, GQA, MQA, decode, causal with unequal lengths,
// windows, soft cap, LSE, rows that see no key, and head dimensions that are no power of two.
constexpr absl::string_view kMixed =
    "1,8,512,64 weight=4;"
    "1,8,512,64 bf16 causal weight=2;"
    "1,4,256,64 fp32 lse;"
    "2,16,4,128,384,128 causal lse;"
    "1,8,1,1,1024,128 bf16 weight=2;"
    "1,4,2,200,333,96 bshd window_left=64 window_right=16;"
    "2,6,3,113,203,40 bf16 bshd soft_cap=30 lse;"
    "1,2,1,40,17,256 causal lse";

absl::StatusOr<std::vector<int64_t>> ParseShape(absl::string_view text) {
  std::vector<int64_t> dims;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    int64_t dim = 0;
    if (!absl::SimpleAtoi(part, &dim) || dim < 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no shape; write ", kShapeHelp));
    }
    dims.push_back(dim);
  }
  return dims;
}

absl::Status SetShape(absl::string_view text, MixEntry& entry) {
  constexpr size_t kShort = 4;
  constexpr size_t kLong = 6;
  const absl::StatusOr<std::vector<int64_t>> dims = ParseShape(text);
  if (!dims.ok()) return dims.status();
  const std::vector<int64_t>& d = *dims;
  if (d.size() == kShort) {
    entry.batch = d[0];
    entry.num_qo_heads = entry.num_kv_heads = d[1];
    entry.q_len = entry.kv_len = d[2];
    entry.head_dim = d[3];
    return absl::OkStatus();
  }
  if (d.size() == kLong) {
    entry.batch = d[0];
    entry.num_qo_heads = d[1];
    entry.num_kv_heads = d[2];
    entry.q_len = d[3];
    entry.kv_len = d[4];
    entry.head_dim = d[5];
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' has ", d.size(), " sizes; write ", kShapeHelp));
}

// Words without a value. False if `word` is none of them.
bool SetWord(absl::string_view word, MixEntry& entry) {
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    if (word != Name(dtype)) continue;
    entry.dtype = dtype;
    return true;
  }
  for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
    if (word != Name(layout)) continue;
    entry.layout = layout;
    return true;
  }
  if (word == "causal") return entry.options.causal = true;
  if (word == "lse") return entry.options.return_lse = true;
  return false;
}

bool SetValue(absl::string_view name, absl::string_view value, MixEntry& entry) {
  if (name == "window_left") return absl::SimpleAtoi(value, &entry.options.window_left);
  if (name == "window_right") return absl::SimpleAtoi(value, &entry.options.window_right);
  if (name == "soft_cap") return absl::SimpleAtof(value, &entry.options.logits_soft_cap);
  if (name == "sm_scale") return absl::SimpleAtof(value, &entry.options.sm_scale.emplace());
  if (name == "priority") {
    entry.priority = PriorityFromName(value);
    return entry.priority.has_value();
  }
  if (name == "weight") {
    return absl::SimpleAtod(value, &entry.weight) && std::isfinite(entry.weight) && entry.weight > 0;
  }
  return false;
}

absl::Status SetOption(absl::string_view word, MixEntry& entry) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
  const bool known = absl::StrContains(word, '=') ? SetValue(parts.first, parts.second, entry) : SetWord(word, entry);
  if (known) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", word, "' is no option; write one of ", kOptionHelp));
}

absl::StatusOr<MixEntry> ParseEntry(absl::string_view text) {
  MixEntry entry;
  entry.text = std::string(text);
  const std::vector<absl::string_view> words = absl::StrSplit(text, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (absl::Status shape = SetShape(words.front(), entry); !shape.ok()) return shape;
  for (size_t i = 1; i < words.size(); ++i) {
    if (absl::Status option = SetOption(words[i], entry); !option.ok()) return option;
  }
  for (const TensorSpec& spec : {entry.QuerySpec(), entry.KeyValueSpec()}) {
    if (absl::Status valid = ValidateSpec(spec); !valid.ok()) return valid;
  }
  return entry;
}

std::vector<int64_t> ShapeIn(Layout layout, int64_t batch, int64_t heads, int64_t rows, int64_t head_dim) {
  if (layout == Layout::kBhsd) return {batch, heads, rows, head_dim};
  return {batch, rows, heads, head_dim};
}

}  // namespace

TensorSpec MixEntry::QuerySpec() const {
  return {.dtype = dtype, .shape = ShapeIn(layout, batch, num_qo_heads, q_len, head_dim), .layout = layout};
}

TensorSpec MixEntry::KeyValueSpec() const {
  return {.dtype = dtype, .shape = ShapeIn(layout, batch, num_kv_heads, kv_len, head_dim), .layout = layout};
}

absl::StatusOr<std::vector<MixEntry>> ParseMix(absl::string_view text) {
  std::vector<MixEntry> mix;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = line.substr(0, line.find('#'));
    for (absl::string_view part : absl::StrSplit(line, ';')) {
      part = absl::StripAsciiWhitespace(part);
      if (part.empty()) continue;
      absl::StatusOr<MixEntry> entry = ParseEntry(part);
      if (!entry.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("in \"", part, "\": ", entry.status().message()));
      }
      mix.push_back(*std::move(entry));
    }
  }
  if (mix.empty()) return absl::InvalidArgumentError(absl::StrCat("has no entry; write ", kShapeHelp));
  return mix;
}

const std::vector<NamedMix>& BuiltInMixes() {
  static const auto* const kMixes =
      new std::vector<NamedMix>{{.name = "mission", .text = kMission}, {.name = "mixed", .text = kMixed}};
  return *kMixes;
}

absl::StatusOr<std::vector<MixEntry>> LoadMix(absl::string_view spec) {
  for (const NamedMix& mix : BuiltInMixes()) {
    if (spec == mix.name) return ParseMix(mix.text);
  }
  if (!absl::ConsumePrefix(&spec, "@")) return ParseMix(spec);
  std::ifstream file{std::string(spec)};
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open()) return absl::NotFoundError(absl::StrCat("cannot read ", spec));
  return ParseMix(text);
}

}  // namespace flashcore
