#include "bench/kernel/host_tensors.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "kernels/base/float16.h"

namespace flashcore::bench {
namespace {

// The finaliser of SplitMix64: well mixed bits of a counter, so that any element can be drawn by any thread.
uint64_t Mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}

// The sum of four uniform values is close to normal, out to +-3.4 standard deviations.
float NearNormal(uint64_t bits) {
  constexpr int kParts = 4;
  constexpr int kPartBits = 16;
  constexpr uint64_t kPartMask = (uint64_t{1} << kPartBits) - 1;
  uint64_t sum = 0;
  for (int i = 0; i < kParts; ++i) sum += (bits >> (i * kPartBits)) & kPartMask;
  constexpr double kMean = kParts * (static_cast<double>(kPartMask) / 2.0);
  const double deviation = static_cast<double>(kPartMask) * std::sqrt(kParts / 12.0);
  return static_cast<float>((static_cast<double>(sum) - kMean) / deviation);
}

std::vector<float> Draw(DType dtype, int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  ParallelFor(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      values[i] = NearNormal(Mix(Mix(seed) + static_cast<uint64_t>(i)));
    }
  });
  return Decode(dtype, Encode(dtype, values));
}

}  // namespace

void ParallelFor(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body) {
  const int64_t workers = std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, std::max<int64_t>(count, 1));
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < workers; ++i) {
    threads.emplace_back(body, count * i / workers, count * (i + 1) / workers);
  }
  for (std::thread& thread : threads) thread.join();
}

HostTensors DrawTensors(const Shape& shape, uint64_t seed) {
  enum Stream : uint64_t { kQuery, kKey, kValue, kStreams };
  const uint64_t first = seed * kStreams;
  return {Draw(shape.dtype, QueryElements(shape), first + kQuery),
          Draw(shape.dtype, KeyValueElements(shape), first + kKey),
          Draw(shape.dtype, KeyValueElements(shape), first + kValue)};
}

std::vector<std::byte> Encode(DType dtype, absl::Span<const float> values) {
  std::vector<std::byte> bytes(values.size() * SizeOf(dtype));
  ParallelFor(static_cast<int64_t>(values.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) StoreElement(dtype, bytes.data(), i, values[i]);
  });
  return bytes;
}

std::vector<float> Decode(DType dtype, absl::Span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / SizeOf(dtype));
  ParallelFor(static_cast<int64_t>(values.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) values[i] = LoadElement(dtype, bytes.data(), i);
  });
  return values;
}

}  // namespace flashcore::bench
