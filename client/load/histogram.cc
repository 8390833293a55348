#include "client/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace flashcore {
namespace {

constexpr int64_t kClampNs = (int64_t{1} << Histogram::kMaxBits) - 1;

// How far a value is shifted so that kBucketBits + 1 bits of it are left. 0 for small values, which are kept exactly.
int ShiftOf(int64_t value) {
  return std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(value))) - (Histogram::kBucketBits + 1));
}

// Shifts 0 and 1 meet seamlessly: a shifted value has its top bit set, which moves it one octave up.
size_t BucketOf(int64_t value) {
  const int shift = ShiftOf(value);
  return static_cast<size_t>(shift * Histogram::kBucketsPerOctave + (value >> shift));
}

int64_t MiddleOf(size_t bucket) {
  const auto index = static_cast<int64_t>(bucket);
  const int64_t shift = std::max<int64_t>(0, (index >> Histogram::kBucketBits) - 1);
  const int64_t begin = (index - shift * Histogram::kBucketsPerOctave) << shift;
  return begin + ((int64_t{1} << shift) >> 1);
}

}  // namespace

Histogram::Histogram() : buckets_(BucketOf(kClampNs) + 1) {}

void Histogram::Record(int64_t value_ns) {
  const int64_t value = std::max<int64_t>(0, value_ns);
  ++buckets_[BucketOf(std::min(value, kClampNs))];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const {
  if (count_ == 0) return 0;
  const auto rank = std::clamp<int64_t>(std::llround(std::ceil(quantile * static_cast<double>(count_))), 1, count_);
  if (rank == count_) return max_;
  int64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::clamp(MiddleOf(i), min_, max_);
  }
  return max_;
}

}  // namespace flashcore
