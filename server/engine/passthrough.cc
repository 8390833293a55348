#include "server/engine/passthrough.h"

namespace flashcore {
namespace {

class PassthroughBackend final : public AttentionBackend {
 public:
  const BackendInfo& info() const override { return info_; }
  absl::Status CheckSupported(const AttentionProblem& /*problem*/) const override { return absl::OkStatus(); }
  absl::Status Launch(absl::Span<const AttentionProblem> /*problems*/, void* /*stream*/) override {
    return absl::OkStatus();
  }

 private:
  const BackendInfo info_ = {.backend = kPassthroughBackend,
                             .device = "none",
                             .kernel = "passthrough",
                             .dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32}};
};

}  // namespace

std::unique_ptr<AttentionBackend> CreatePassthroughBackend() { return std::make_unique<PassthroughBackend>(); }

}  // namespace flashcore
