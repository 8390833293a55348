#include "bench/kernel/device_sets.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace flashcore::bench {
namespace {

constexpr size_t kMinSets = 2;
// Of every tensor; what the CUDA allocator gives as well.
constexpr size_t kAlignmentBytes = 256;
constexpr int kPoison = 0xff;

size_t Align(size_t bytes) { return (bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes; }

absl::Status Copy(void* to, const void* from, size_t bytes, absl::string_view what) {
  return cuda::ToStatus(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), what);
}

}  // namespace

absl::StatusOr<DeviceSets> DeviceSets::Create(const Shape& shape, const HostTensors& tensors, size_t min_bytes) {
  const size_t query_bytes = static_cast<size_t>(QueryElements(shape)) * SizeOf(shape.dtype);
  const size_t key_bytes = static_cast<size_t>(KeyValueElements(shape)) * SizeOf(shape.dtype);
  const std::array<size_t, 3> input_bytes = {query_bytes, key_bytes, key_bytes};
  const std::array<absl::Span<const float>, 3> inputs = {tensors.q, tensors.k, tensors.v};
  const size_t set_bytes = 2 * Align(query_bytes) + 2 * Align(key_bytes);
  const size_t sets = std::clamp(min_bytes / std::max<size_t>(set_bytes, 1) + 1, kMinSets, kMaxSets);

  absl::StatusOr<cuda::DeviceMemory> memory = cuda::AllocateDevice(sets * set_bytes);
  if (!memory.ok()) return memory.status();
  std::byte* next = memory->get();
  for (size_t i = 0; i < inputs.size(); ++i) {
    absl::Status status =
        Copy(next, Encode(shape.dtype, inputs[i]).data(), input_bytes[i], "copying inputs to the device");
    if (!status.ok()) return status;
    next += Align(input_bytes[i]);
  }
  std::vector<AttentionProblem> problems;
  for (size_t set = 0; set < sets; ++set) {
    std::byte* base = memory->get() + set * set_bytes;
    if (set > 0) {
      absl::Status status = Copy(base, memory->get(), set_bytes, "copying inputs on the device");
      if (!status.ok()) return status;
    }
    AttentionProblem problem = shape;
    problem.q = base;
    problem.k = base + Align(query_bytes);
    problem.v = base + Align(query_bytes) + Align(key_bytes);
    problem.o = base + Align(query_bytes) + 2 * Align(key_bytes);
    problems.push_back(problem);
  }
  return DeviceSets(query_bytes, *std::move(memory), std::move(problems));
}

absl::Status DeviceSets::Poison() {
  for (const AttentionProblem& problem : problems_) {
    absl::Status status = cuda::ToStatus(cudaMemset(problem.o, kPoison, output_bytes_), "poisoning outputs");
    if (!status.ok()) return status;
  }
  return cuda::ToStatus(cudaDeviceSynchronize(), "poisoning outputs");
}

absl::StatusOr<std::vector<std::byte>> DeviceSets::ReadOutput(size_t set) const {
  std::vector<std::byte> bytes(output_bytes_);
  absl::Status status = cuda::ToStatus(cudaDeviceSynchronize(), "waiting for the device");
  if (status.ok()) status = Copy(bytes.data(), problems_[set].o, output_bytes_, "copying the output");
  if (!status.ok()) return status;
  return bytes;
}

}  // namespace flashcore::bench
