#include <utility>

#include "kernels/attention.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

class CpuBackend final : public AttentionBackend {
 public:
  explicit CpuBackend(int num_threads) : plain_(CreateReferenceBackend()), info_(plain_->info()) {
    info_.backend = "cpu";
    info_.kernel = "cpu/plain";
    info_.num_threads = num_threads > 0 ? num_threads : 1;
  }

  const BackendInfo& info() const override { return info_; }

  absl::Status CheckSupported(const AttentionProblem& problem) const override {
    return plain_->CheckSupported(problem);
  }

  absl::Status Launch(absl::Span<const AttentionProblem> problems, void* stream) override {
    return plain_->Launch(problems, stream);
  }

 private:
  std::unique_ptr<AttentionBackend> plain_;
  BackendInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCpuBackend(int num_threads) {
  return std::make_unique<CpuBackend>(num_threads);
}

}  // namespace flashcore
