// Runs the harness's problems on a CUDA device. The canaries around every host tensor go to the device with it and come
// back with the outputs, so that a write outside O or LSE in device memory is seen as one in host memory would be.
#ifndef FLASHCORE_TESTS_KERNELS_CUDA_RUNNER_H_
#define FLASHCORE_TESTS_KERNELS_CUDA_RUNNER_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/cuda/runtime.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// Problems in device memory. Every call's failure is kept in status(), and later calls do nothing.
class DeviceBatch {
 public:
  // Uploads inputs and poisoned outputs. Borrows the problems.
  explicit DeviceBatch(absl::Span<HostProblem* const> problems);

  // With pointers into device memory.
  const std::vector<AttentionProblem>& problems() const { return on_device_; }
  // Poisons O and LSE in device memory again.
  void PoisonOutputs();
  // Waits for the device and brings O and LSE back; fails with DATA_LOSS if an input changed on the device.
  void Download();

  const absl::Status& status() const { return status_; }

 private:
  // Host buffer and its image on the device, guards included.
  struct Image {
    GuardedBuffer* host = nullptr;
    cuda::DeviceMemory device;
    std::byte* data() const { return device.get() + GuardedBuffer::offset_bytes(); }
  };

  Image Upload(GuardedBuffer& host);
  void CheckUnchanged(const Image& input);

  absl::Status status_;
  std::vector<Image> inputs_;
  std::vector<Image> outputs_;
  std::vector<AttentionProblem> on_device_;
};

// A runner on `backend`, whose device must be current. Borrows it.
Runner DeviceRunner(AttentionBackend& backend);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_KERNELS_CUDA_RUNNER_H_
