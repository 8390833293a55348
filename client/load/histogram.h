// Latencies in log-linear buckets: every power of two is cut into kBucketsPerOctave equal ones.
//
// A quantile is the middle of its bucket, so it is off by at most 1 / (2 * kBucketsPerOctave) = 0.4 % of itself; count,
// mean, min and max are exact. Values from 2^kMaxBits ns (18 minutes) on share the last bucket. Fixed memory (36 KiB),
// constant time. Not thread-safe: one for each writer, merged at the end.
#ifndef FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_
#define FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace flashcore {

class Histogram {
 public:
  static constexpr int kBucketBits = 7;
  static constexpr int64_t kBucketsPerOctave = int64_t{1} << kBucketBits;
  static constexpr int kMaxBits = 40;

  Histogram();

  // Negative values count as 0.
  void Record(int64_t value_ns);
  void Merge(const Histogram& other);

  int64_t count() const { return count_; }
  // All 0 while there are no values.
  int64_t min() const { return count_ == 0 ? 0 : min_; }
  int64_t max() const { return max_; }
  double mean() const;
  // The least value that a fraction of at least `quantile` (0 to 1) does not exceed.
  int64_t Quantile(double quantile) const;

 private:
  std::vector<int64_t> buckets_;
  int64_t count_ = 0;
  int64_t min_ = std::numeric_limits<int64_t>::max();
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_
