// The backends' constructors, for CreateBackend and for tests that want one in particular.
#ifndef FLASHCORE_KERNELS_BACKENDS_H_
#define FLASHCORE_KERNELS_BACKENDS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/attention.h"

namespace flashcore {

// Double precision, one thread, plain loops: the oracle of every test. O(Sq * Skv * D) and slow on purpose.
std::unique_ptr<AttentionBackend> CreateReferenceBackend();

// Google Highway with dynamic dispatch; the threads are this backend's own and end with it.
// num_threads as in BackendOptions.
absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCpuBackend(int num_threads);

// Present only in builds with CUDA. `kernel` is "auto" or a name from the ladder ("scalar").
absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCudaBackend(int device_ordinal, absl::string_view kernel);

}  // namespace flashcore

#endif  // FLASHCORE_KERNELS_BACKENDS_H_
