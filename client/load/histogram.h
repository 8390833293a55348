// HDR histogram: log-linear buckets, as Gil Tene's HdrHistogram has them. Every power of two is cut into 2^precision
// equal buckets, so a value is kept to a fixed number of significant digits whatever its size.
//
//   value        0 .. 2^(p+1)     .. 2^(p+2)     .. 2^(p+3)   ...
//   bucket width       1               2              4       ...
//
// A quantile is the middle of its bucket, off by at most 1 / 2^(p+1) of itself: 0.05 % with kThreeDigits. Count, mean,
// min and max are exact. Values from 2^kMaxBits ns (18 minutes) on share the last bucket. Memory is fixed when the
// first value comes, 254 KiB with kThreeDigits; recording takes constant time. Not thread-safe.
#ifndef FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_
#define FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace flashcore {

class Histogram {
 public:
  static constexpr int kThreeDigits = 10;  // Bucket widths are below 1 / 1000 of their values.
  static constexpr int kTwoDigits = 7;
  static constexpr int kCoarse = 5;  // 1.6 % off at most, 9 KiB: for plots.
  static constexpr int kMaxBits = 40;

  explicit Histogram(int precision_bits = kThreeDigits);

  // Negative values count as 0.
  void Record(int64_t value_ns);
  // `other` has the same precision.
  void Merge(const Histogram& other);
  // Back to no values; keeps its memory.
  void Clear();

  int64_t count() const { return count_; }
  // All 0 while there are no values.
  int64_t min() const { return count_ == 0 ? 0 : min_; }
  int64_t max() const { return max_; }
  double mean() const;
  // The least value that a fraction of at least `quantile` (0 to 1) does not exceed.
  int64_t Quantile(double quantile) const;
  // How many values are above `value_ns`; those in its own bucket do not count.
  int64_t CountAbove(int64_t value_ns) const;

 private:
  int precision_bits_;
  std::vector<int64_t> buckets_;  // Empty while there are no values.
  int64_t count_ = 0;
  int64_t min_ = std::numeric_limits<int64_t>::max();
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HISTOGRAM_H_
