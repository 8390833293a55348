// Families of series made at the moment of a scrape, for values that are read rather than counted.
#ifndef FLASHCORE_SERVER_TELEMETRY_FAMILY_H_
#define FLASHCORE_SERVER_TELEMETRY_FAMILY_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "prometheus/metric_family.h"

namespace flashcore {

// One series: its labels, and its value if there is one.
struct Sample {
  std::vector<std::pair<std::string, std::string>> labels;
  std::optional<double> value;
};

// Appends the family to `families` with those samples that have a value, or leaves it out if none has.
void AppendGauge(std::vector<prometheus::MetricFamily>& families, const char* name, const char* help,
                 const std::vector<Sample>& samples);
// The same for a counter.
void AppendCounter(std::vector<prometheus::MetricFamily>& families, const char* name, const char* help,
                   const std::vector<Sample>& samples);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_FAMILY_H_
