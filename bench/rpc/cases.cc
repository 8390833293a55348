#include "bench/rpc/cases.h"

#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore::bench {
namespace {

template <typename Value>
using Names = std::array<std::pair<absl::string_view, Value>, 2>;

constexpr Names<Payload> kPayloads = {{{"mission", Payload::kMission}, {"1KiB", Payload::kSmall}}};
constexpr Names<CallShape> kShapes = {{{"unary", CallShape::kUnary}, {"stream", CallShape::kStream}}};
constexpr Names<Transport> kTransports = {{{"tcp", Transport::kTcp}, {"uds", Transport::kUnixSocket}}};

template <typename Value>
absl::string_view NameOf(const Names<Value>& names, Value value) {
  return names[0].second == value ? names[0].first : names[1].first;
}

template <typename Value>
bool Find(const Names<Value>& names, absl::string_view name, Value& value) {
  for (const auto& [known, known_value] : names) {
    if (known != name) continue;
    value = known_value;
    return true;
  }
  return false;
}

bool ParseLoad(absl::string_view text, Case& c) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('x', 1));
  return absl::SimpleAtoi(parts.first, &c.concurrency) && absl::SimpleAtoi(parts.second, &c.channels) &&
         c.channels >= 1 && c.concurrency >= c.channels && c.concurrency <= kMaxConcurrency &&
         c.concurrency % c.channels == 0;
}

std::optional<Case> ParseCase(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  constexpr size_t kWords = 4;
  Case c;
  const bool good = words.size() == kWords && Find(kPayloads, words[0], c.payload) &&
                    Find(kShapes, words[1], c.shape) && Find(kTransports, words[2], c.transport) &&
                    ParseLoad(words[3], c);
  return good ? std::optional<Case>(c) : std::nullopt;
}

}  // namespace

std::string ToString(const Case& c) {
  return absl::StrCat(NameOf(kPayloads, c.payload), " ", NameOf(kShapes, c.shape), " ",
                      NameOf(kTransports, c.transport), " ", c.concurrency, "x", c.channels);
}

absl::StatusOr<std::vector<Case>> ParseCases(absl::string_view text) {
  std::vector<Case> cases;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::optional<Case> parsed = ParseCase(part);
    if (!parsed.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", absl::StripAsciiWhitespace(part), "' is no case: want 'mission|1KiB unary|stream tcp|uds ",
                       "CONCURRENCYxCHANNELS', the first a multiple of the second, at most ", kMaxConcurrency));
    }
    cases.push_back(*parsed);
  }
  if (cases.empty()) return absl::InvalidArgumentError("there is no case");
  return cases;
}

}  // namespace flashcore::bench
