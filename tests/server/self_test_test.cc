#include "server/self_test.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/base/float16.h"
#include "server/engine/cpu_engine.h"

namespace flashcore {
namespace {

// The reference, and what is done to its results.
class SpoiltBackend final : public AttentionBackend {
 public:
  using Spoil = std::function<void(const AttentionProblem&)>;
  explicit SpoiltBackend(Spoil spoil) : spoil_(std::move(spoil)) {}

  const BackendInfo& info() const override { return reference_->info(); }
  absl::Status CheckSupported(const AttentionProblem& problem) const override {
    return reference_->CheckSupported(problem);
  }
  absl::Status Launch(absl::Span<const AttentionProblem> problems, void* stream) override {
    absl::Status status = reference_->Launch(problems, stream);
    for (const AttentionProblem& problem : problems) spoil_(problem);
    return status;
  }

 private:
  std::unique_ptr<AttentionBackend> reference_ = CreateReferenceBackend();
  Spoil spoil_;
};

absl::Status RunWith(SpoiltBackend::Spoil spoil) {
  constexpr size_t kArenaBytes = size_t{16} << 20;
  absl::StatusOr<std::shared_ptr<HostArena>> arena = HostArena::CreatePageable(kArenaBytes);
  if (!arena.ok()) return arena.status();
  const auto engine = CreateCpuEngine(std::make_unique<SpoiltBackend>(std::move(spoil)), *std::move(arena));
  return SelfTest(*engine);
}

TEST(SelfTest, PassesWhatIsRight) {
  const absl::Status status = RunWith([](const AttentionProblem&) {});
  EXPECT_TRUE(status.ok()) << status;
}

TEST(SelfTest, FindsOneWrongElement) {
  const absl::Status status = RunWith([](const AttentionProblem& problem) {
    if (problem.dtype != DType::kBFloat16) return;
    StoreElement(problem.dtype, problem.o, 77, LoadElement(problem.dtype, problem.o, 77) + 0.25f);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(status.message(), "bf16")) << status;
}

TEST(SelfTest, FindsNan) {
  const absl::Status status = RunWith([](const AttentionProblem& problem) {
    StoreElement(problem.dtype, problem.o, 0, std::numeric_limits<float>::quiet_NaN());
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
}

TEST(SelfTest, FindsAWrongLse) {
  const absl::Status status = RunWith([](const AttentionProblem& problem) { problem.lse[3] *= 1.4427f; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace flashcore
