#include "server/telemetry/text_format.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"

namespace flashcore {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Below it a double tells whole numbers apart.
constexpr double kGreatestExactInteger = 1LL << std::numeric_limits<double>::digits;

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::trunc(value) == value && std::abs(value) < kGreatestExactInteger) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  // 15 digits survive the way to a double and back; a few values need one or two more to come back themselves.
  constexpr size_t kLongestNumber = 32;
  std::array<char, kLongestNumber> text;
  for (int digits = std::numeric_limits<double>::digits10; digits <= std::numeric_limits<double>::max_digits10;
       ++digits) {
    char* const end =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits).ptr;
    double back = 0;
    std::from_chars(text.data(), end, back);
    if (back == value) return {text.data(), end};
  }
  std::abort();
}

// Appends the lines of one family.
class FamilyWriter {
 public:
  FamilyWriter(const MetricFamily& family, std::string& text) : family_(family), text_(text) {}

  void Write() {
    absl::StrAppend(&text_, "# HELP ", family_.name, " ",
                    absl::StrReplaceAll(family_.help, {{"\\", "\\\\"}, {"\n", "\\n"}}), "\n");
    absl::StrAppend(&text_, "# TYPE ", family_.name, " ", TypeName(), "\n");
    for (const ClientMetric& metric : family_.metric) WriteMetric(metric);
  }

 private:
  absl::string_view TypeName() const {
    switch (family_.type) {
      case MetricType::Counter:
        return "counter";
      case MetricType::Gauge:
        return "gauge";
      case MetricType::Histogram:
        return "histogram";
      default:
        std::abort();
    }
  }

  void WriteMetric(const ClientMetric& metric) {
    if (family_.type == MetricType::Histogram) return WriteHistogram(metric);
    const double value = family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value;
    WriteSample(metric, "", "", Number(value));
  }

  void WriteHistogram(const ClientMetric& metric) {
    const ClientMetric::Histogram& histogram = metric.histogram;
    for (const ClientMetric::Bucket& bucket : histogram.bucket) {
      WriteSample(metric, "_bucket", Number(bucket.upper_bound), absl::StrCat(bucket.cumulative_count));
    }
    const bool closed = !histogram.bucket.empty() && std::isinf(histogram.bucket.back().upper_bound);
    if (!closed) WriteSample(metric, "_bucket", "+Inf", absl::StrCat(histogram.sample_count));
    WriteSample(metric, "_sum", "", Number(histogram.sample_sum));
    WriteSample(metric, "_count", "", absl::StrCat(histogram.sample_count));
  }

  // `bound` is the label `le`, if there is one.
  void WriteSample(const ClientMetric& metric, absl::string_view suffix, absl::string_view bound,
                   absl::string_view value) {
    absl::StrAppend(&text_, family_.name, suffix);
    char separator = '{';
    for (const ClientMetric::Label& label : metric.label) WriteLabel(separator, label.name, label.value);
    if (!bound.empty()) WriteLabel(separator, "le", bound);
    absl::StrAppend(&text_, separator == '{' ? " " : "} ", value, "\n");
  }

  void WriteLabel(char& separator, absl::string_view name, absl::string_view value) {
    absl::StrAppend(&text_, absl::string_view(&separator, 1), name, "=\"",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\n", "\\n"}, {"\"", "\\\""}}), "\"");
    separator = ',';
  }

  const MetricFamily& family_;
  std::string& text_;
};

}  // namespace

std::string ToTextFormat(const std::vector<MetricFamily>& families) {
  std::string text;
  for (const MetricFamily& family : families) FamilyWriter(family, text).Write();
  return text;
}

}  // namespace flashcore
