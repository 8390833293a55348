#include "client/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace flashcore {
namespace {

constexpr int64_t kClampNs = (int64_t{1} << Histogram::kMaxBits) - 1;

// How far a value is shifted so that precision_bits + 1 bits of it are left. 0 for small values, which are kept
// exactly.
int ShiftOf(int64_t value, int precision_bits) {
  return std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(value))) - (precision_bits + 1));
}

// Shifts 0 and 1 meet seamlessly: a shifted value has its top bit set, which moves it one octave up.
size_t BucketOf(int64_t value, int precision_bits) {
  const int shift = ShiftOf(value, precision_bits);
  return static_cast<size_t>((int64_t{shift} << precision_bits) + (value >> shift));
}

int64_t MiddleOf(size_t bucket, int precision_bits) {
  const auto index = static_cast<int64_t>(bucket);
  const int64_t shift = std::max<int64_t>(0, (index >> precision_bits) - 1);
  const int64_t begin = (index - (shift << precision_bits)) << shift;
  return begin + ((int64_t{1} << shift) >> 1);
}

}  // namespace

Histogram::Histogram(int precision_bits) : precision_bits_(precision_bits) {}

void Histogram::Record(int64_t value_ns) {
  if (buckets_.empty()) buckets_.resize(BucketOf(kClampNs, precision_bits_) + 1);
  const int64_t value = std::max<int64_t>(0, value_ns);
  ++buckets_[BucketOf(std::min(value, kClampNs), precision_bits_)];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Merge(const Histogram& other) {
  if (other.buckets_.empty()) return;
  buckets_.resize(other.buckets_.size());
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

void Histogram::Clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = 0;
  min_ = std::numeric_limits<int64_t>::max();
  max_ = 0;
  sum_ = 0;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const {
  if (count_ == 0) return 0;
  const auto rank = std::clamp<int64_t>(std::llround(std::ceil(quantile * static_cast<double>(count_))), 1, count_);
  if (rank == count_) return max_;
  int64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::clamp(MiddleOf(i, precision_bits_), min_, max_);
  }
  return max_;
}

int64_t Histogram::CountAbove(int64_t value_ns) const {
  if (count_ == 0) return 0;
  const size_t bucket = BucketOf(std::clamp<int64_t>(value_ns, 0, kClampNs), precision_bits_);
  return std::accumulate(buckets_.begin() + static_cast<std::ptrdiff_t>(bucket) + 1, buckets_.end(), int64_t{0});
}

}  // namespace flashcore
