#include "client/load/number_list.h"

#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore {
namespace {

bool ParseNumber(absl::string_view text, double& value) {
  return absl::SimpleAtod(text, &value) && std::isfinite(value) && value >= 0;
}

// False: not a range, or one that never ends or is too long.
bool ParseRange(const std::vector<std::string>& parts, std::vector<double>& values) {
  // A sum of steps may miss the last value by a rounding.
  constexpr double kSlack = 1 + 1e-9;
  double value = 0;
  double last = 0;
  double step = 0;
  if (!ParseNumber(parts[0], value) || !ParseNumber(parts[1], last) || parts[2].empty()) return false;
  const char operation = parts[2].front();
  if (!ParseNumber(absl::string_view(parts[2]).substr(1), step)) return false;
  const bool grows = (operation == '*' && step > 1 && value > 0) || (operation == '+' && step > 0);
  while (grows && value <= last * kSlack && values.size() <= kMaxNumbers) {
    values.push_back(value);
    value = operation == '*' ? value * step : value + step;
  }
  return !values.empty();
}

bool ParseList(absl::string_view text, std::vector<double>& values) {
  bool read = true;
  for (const absl::string_view part : absl::StrSplit(text, ','))
    read = ParseNumber(part, values.emplace_back()) && read;
  return read;
}

}  // namespace

absl::StatusOr<std::vector<double>> ParseNumberList(absl::string_view text) {
  constexpr size_t kRangeParts = 3;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  std::vector<double> values;
  const bool read = parts.size() == kRangeParts ? ParseRange(parts, values) : ParseList(text, values);
  if (!read) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read '", text, "'; write a number, a list 1,2,4,8 or a range 1:64:*2 or 100:500:+100"));
  }
  if (values.size() > kMaxNumbers) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' has more than ", kMaxNumbers, " numbers"));
  }
  return values;
}

}  // namespace flashcore
