#include "tests/kernels/cuda_runner.h"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstring>
#include <utility>

namespace flashcore::testing {

DeviceBatch::DeviceBatch(absl::Span<HostProblem* const> problems) {
  for (HostProblem* host : problems) {
    AttentionProblem problem = host->Describe();
    const auto place = [this](GuardedBuffer& buffer, std::vector<Image>& images) {
      images.push_back(Upload(buffer));
      return images.back().data();
    };
    problem.q = place(host->q(), inputs_);
    problem.k = place(host->k(), inputs_);
    problem.v = place(host->v(), inputs_);
    problem.o = place(host->o(), outputs_);
    std::byte* const lse = place(host->lse(), outputs_);
    if (problem.lse != nullptr) problem.lse = reinterpret_cast<float*>(lse);
    on_device_.push_back(problem);
  }
}

DeviceBatch::Image DeviceBatch::Upload(GuardedBuffer& host) {
  absl::StatusOr<cuda::DeviceMemory> device = cuda::AllocateDevice(host.storage_bytes());
  status_.Update(device.status());
  if (!status_.ok()) return {};
  status_ = cuda::ToStatus(cudaMemcpy(device->get(), host.storage(), host.storage_bytes(), cudaMemcpyHostToDevice),
                           "uploading a tensor");
  return {&host, *std::move(device)};
}

void DeviceBatch::PoisonOutputs() {
  if (!status_.ok()) return;
  for (const Image& output : outputs_) {
    output.host->Poison();
    status_.Update(cuda::ToStatus(
        cudaMemcpy(output.device.get(), output.host->storage(), output.host->storage_bytes(), cudaMemcpyHostToDevice),
        "poisoning an output"));
  }
}

void DeviceBatch::Download() {
  status_.Update(cuda::ToStatus(cudaDeviceSynchronize(), "waiting for the device"));
  if (!status_.ok()) return;
  for (const Image& output : outputs_) {
    status_.Update(cuda::ToStatus(
        cudaMemcpy(output.host->storage(), output.device.get(), output.host->storage_bytes(), cudaMemcpyDeviceToHost),
        "downloading an output"));
  }
  for (const Image& input : inputs_) CheckUnchanged(input);
}

void DeviceBatch::CheckUnchanged(const Image& input) {
  std::vector<std::byte> now(input.host->storage_bytes());
  status_.Update(cuda::ToStatus(cudaMemcpy(now.data(), input.device.get(), now.size(), cudaMemcpyDeviceToHost),
                                "reading an input"));
  if (status_.ok() && std::memcmp(now.data(), input.host->storage(), now.size()) != 0) {
    status_ = absl::DataLossError("the kernel wrote to Q, K or V, or next to them");
  }
}

Runner DeviceRunner(AttentionBackend& backend) {
  return [&backend](absl::Span<HostProblem* const> problems) {
    DeviceBatch batch(problems);
    absl::Status status = batch.status();
    if (!status.ok()) return status;
    status = backend.Launch(batch.problems(), /*stream=*/nullptr);
    if (!status.ok()) return status;
    batch.Download();
    return batch.status();
  };
}

}  // namespace flashcore::testing
