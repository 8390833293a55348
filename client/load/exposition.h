// Prometheus' text format, as far as a report of a load run reads it.
#ifndef FLASHCORE_CLIENT_LOAD_EXPOSITION_H_
#define FLASHCORE_CLIENT_LOAD_EXPOSITION_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace flashcore {

// Series by name and labels, both as written: `flashcore_requests_total{code="OK",method="Attend"}`. Values that are
// not numbers are left out, as are comments and lines that are no series.
class Exposition {
 public:
  static Exposition Parse(absl::string_view text);

  // 0 if there is no such series.
  double Value(const std::string& series) const;
  bool Has(const std::string& series) const { return values_.contains(series); }
  // The name of each series and its value, in order.
  const std::map<std::string, double>& values() const { return values_; }

 private:
  std::map<std::string, double> values_;
};

// One histogram between two scrapes.
struct HistogramDelta {
  double count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>>
      buckets;  // Upper bound and cumulative count, rising; the last bound is infinite.

  double mean() const { return count > 0 ? sum / count : 0; }
  // Interpolated within its bucket, as Prometheus' histogram_quantile does: the last finite bound if it is above that.
  double Quantile(double quantile) const;
};

// `name` as in flashcore_stage_duration_seconds; `label` as in stage="queue", or empty for a histogram without labels.
HistogramDelta Delta(const Exposition& before, const Exposition& after, absl::string_view name,
                     absl::string_view label);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_EXPOSITION_H_
