#include "client/load/exposition.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore {
namespace {

// The upper bound in a bucket's labels; false if there is none.
bool BoundOf(absl::string_view series, double& bound) {
  constexpr absl::string_view kLe = "le=\"";
  const size_t begin = series.find(kLe);
  if (begin == absl::string_view::npos) return false;
  absl::string_view text = series.substr(begin + kLe.size());
  text = text.substr(0, text.find('"'));
  if (text == "+Inf") {
    bound = std::numeric_limits<double>::infinity();
    return true;
  }
  return absl::SimpleAtod(text, &bound);
}

}  // namespace

Exposition Exposition::Parse(absl::string_view text) {
  Exposition result;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    // Labels may hold spaces; what comes after their closing brace may not, but for a timestamp.
    const size_t labels_end = line.rfind('}');
    const size_t space = line.find(' ', labels_end == absl::string_view::npos ? 0 : labels_end);
    if (space == absl::string_view::npos) continue;
    const std::vector<absl::string_view> value = absl::StrSplit(line.substr(space), ' ', absl::SkipEmpty());
    double number = 0;
    if (!value.empty() && absl::SimpleAtod(value.front(), &number)) {
      result.values_[std::string(line.substr(0, space))] = number;
    }
  }
  return result;
}

double Exposition::Value(const std::string& series) const {
  const auto found = values_.find(series);
  return found == values_.end() ? 0 : found->second;
}

double HistogramDelta::Quantile(double quantile) const {
  const double rank = quantile * count;
  double below_bound = 0;
  double below_count = 0;
  for (const auto& [bound, cumulative] : buckets) {
    if (cumulative >= rank && cumulative > below_count) {
      if (bound == std::numeric_limits<double>::infinity()) return below_bound;
      return below_bound + (bound - below_bound) * (rank - below_count) / (cumulative - below_count);
    }
    below_bound = bound;
    below_count = cumulative;
  }
  return below_bound;
}

HistogramDelta Delta(const Exposition& before, const Exposition& after, absl::string_view name,
                     absl::string_view label) {
  const std::string labels = label.empty() ? "" : absl::StrCat("{", label, "}");
  const auto difference = [&](const std::string& series) { return after.Value(series) - before.Value(series); };
  HistogramDelta delta;
  delta.count = difference(absl::StrCat(name, "_count", labels));
  delta.sum = difference(absl::StrCat(name, "_sum", labels));
  const std::string prefix = absl::StrCat(name, "_bucket{");
  for (auto it = after.values().lower_bound(prefix); it != after.values().end() && absl::StartsWith(it->first, prefix);
       ++it) {
    double bound = 0;
    if (!absl::StrContains(it->first, label) || !BoundOf(it->first, bound)) continue;
    delta.buckets.emplace_back(bound, difference(it->first));
  }
  std::sort(delta.buckets.begin(), delta.buckets.end());
  return delta;
}

}  // namespace flashcore
