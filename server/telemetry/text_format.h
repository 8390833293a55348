// Prometheus' text format, version 0.0.4. The client library writes it too, yet with 16 digits: a bound of 75 us is
// then `le="7.499999999999999e-05"`, which nobody can ask for. Here a number has as many digits as it takes to read
// back the same.
#ifndef FLASHCORE_SERVER_TELEMETRY_TEXT_FORMAT_H_
#define FLASHCORE_SERVER_TELEMETRY_TEXT_FORMAT_H_

#include <string>
#include <vector>

#include "prometheus/metric_family.h"

namespace flashcore {

// Counters, gauges and histograms, in their order; families of other types crash.
std::string ToTextFormat(const std::vector<prometheus::MetricFamily>& families);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_TEXT_FORMAT_H_
