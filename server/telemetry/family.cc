#include "server/telemetry/family.h"

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"

namespace flashcore {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric ToMetric(const Sample& sample, MetricType type) {
  ClientMetric metric;
  for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = *sample.value;
  return metric;
}

void Append(std::vector<MetricFamily>& families, MetricType type, const char* name, const char* help,
            const std::vector<Sample>& samples) {
  MetricFamily family = {name, help, type, {}};
  for (const Sample& sample : samples) {
    if (sample.value.has_value()) family.metric.push_back(ToMetric(sample, type));
  }
  if (!family.metric.empty()) families.push_back(std::move(family));
}

}  // namespace

void AppendGauge(std::vector<MetricFamily>& families, const char* name, const char* help,
                 const std::vector<Sample>& samples) {
  Append(families, MetricType::Gauge, name, help, samples);
}

void AppendCounter(std::vector<MetricFamily>& families, const char* name, const char* help,
                   const std::vector<Sample>& samples) {
  Append(families, MetricType::Counter, name, help, samples);
}

}  // namespace flashcore
