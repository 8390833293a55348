// Reading Prometheus' text format.
#ifndef FLASHCORE_TESTS_SERVER_TELEMETRY_EXPOSITION_H_
#define FLASHCORE_TESTS_SERVER_TELEMETRY_EXPOSITION_H_

#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace flashcore {

// Every sample, keyed by its name and labels as printed: `x_total{code="OK",method="Attend"}`.
inline std::map<std::string, double> ParseExposition(absl::string_view text) {
  std::map<std::string, double> samples;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line.front() == '#') continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    const bool is_new = samples.emplace(line.substr(0, space), value).second;
    EXPECT_TRUE(is_new) << "twice: " << line;
  }
  return samples;
}

// One sample's value; a failure and 0 if it is not there.
inline double SampleValue(absl::string_view text, const std::string& name) {
  const std::map<std::string, double> samples = ParseExposition(text);
  const auto found = samples.find(name);
  EXPECT_TRUE(found != samples.end()) << "no sample " << name;
  return found == samples.end() ? 0 : found->second;
}

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_TELEMETRY_EXPOSITION_H_
