#include "client/tool_flags.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace flashcore {
namespace {

constexpr size_t kHelpWidth = 100;
constexpr size_t kMaxTypos = 3;

// Levenshtein's.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const char from : a) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t replaced = diagonal + (from == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string UnknownFlag(absl::string_view name) {
  size_t best = kMaxTypos + 1;
  std::string suggestion;
  for (const auto& [known, flag] : absl::GetAllFlags()) {
    const size_t distance = EditDistance(name, known);
    if (distance >= best) continue;
    best = distance;
    suggestion = absl::StrCat(" Did you mean --", known, "?");
  }
  return absl::StrCat("--", name, ": no such flag.", suggestion, " --help lists them all.");
}

absl::Status SetFlag(absl::CommandLineFlag& flag, absl::string_view value) {
  std::string error;
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.Name(), ": cannot read '", value, "'", error.empty() ? "" : ": ", error));
}

// Takes one flag, and its value if that is the next argument, off the front.
absl::Status ParseOne(absl::Span<char* const>& arguments) {
  absl::string_view text = arguments.front();
  arguments.remove_prefix(1);
  if (!absl::ConsumePrefix(&text, "--") || text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': no argument is expected here, only flags"));
  }
  if (text == "help") return absl::CancelledError("help");
  const size_t equals = text.find('=');
  const absl::string_view name = text.substr(0, equals);
  absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
  if (flag != nullptr && equals != absl::string_view::npos) return SetFlag(*flag, text.substr(equals + 1));
  if (flag != nullptr && flag->IsOfType<bool>()) return SetFlag(*flag, "true");
  if (flag != nullptr) {
    if (arguments.empty()) return absl::InvalidArgumentError(absl::StrCat("--", name, ": needs a value"));
    const absl::string_view value = arguments.front();
    arguments.remove_prefix(1);
    return SetFlag(*flag, value);
  }
  if (absl::string_view positive = name; absl::ConsumePrefix(&positive, "no") && equals == absl::string_view::npos) {
    absl::CommandLineFlag* const negated = absl::FindCommandLineFlag(positive);
    if (negated != nullptr && negated->IsOfType<bool>()) return SetFlag(*negated, "false");
  }
  return absl::InvalidArgumentError(UnknownFlag(name));
}

void AppendWrapped(absl::string_view text, absl::string_view indent, std::string& out) {
  std::string line;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > kHelpWidth) {
      absl::StrAppend(&out, indent, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  absl::StrAppend(&out, indent, line, "\n");
}

}  // namespace

absl::Status ParseToolFlags(int argc, char** argv) {
  absl::Span<char* const> arguments(argv, static_cast<size_t>(argc));
  arguments.remove_prefix(1);
  while (!arguments.empty()) {
    if (absl::Status status = ParseOne(arguments); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string ToolHelp(absl::string_view synopsis) {
  std::string out = absl::StrCat(synopsis, "\n\nFlags:\n");
  std::map<absl::string_view, absl::CommandLineFlag*> sorted;
  for (const auto& [name, flag] : absl::GetAllFlags()) sorted.emplace(name, flag);
  for (const auto& [name, flag] : sorted) {
    const std::string value = flag->DefaultValue();
    absl::StrAppend(&out, "  --", name, value.empty() ? "" : " (default ", value, value.empty() ? "\n" : ")\n");
    AppendWrapped(flag->Help(), "      ", out);
  }
  return out;
}

}  // namespace flashcore
