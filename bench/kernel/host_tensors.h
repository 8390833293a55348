// Random inputs in host memory.
#ifndef FLASHCORE_BENCH_KERNEL_HOST_TENSORS_H_
#define FLASHCORE_BENCH_KERNEL_HOST_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "bench/kernel/shape.h"

namespace flashcore::bench {

// Calls body(begin, end) on ranges that together cover [0, count), on all CPUs at once; returns when all are done.
void ParallelFor(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body);

// Contiguous [B, H, S, D]. Every value is representable in the shape's dtype.
struct HostTensors {
  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
};

// Near-normal values of mean 0 and standard deviation 1; the same ones for the same seed.
HostTensors DrawTensors(const Shape& shape, uint64_t seed);

std::vector<std::byte> Encode(DType dtype, absl::Span<const float> values);
std::vector<float> Decode(DType dtype, absl::Span<const std::byte> bytes);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_HOST_TENSORS_H_
