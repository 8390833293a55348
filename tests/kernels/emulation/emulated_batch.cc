#include "tests/kernels/emulation/emulated_batch.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "kernels/attention.h"
#include "kernels/cuda/fused_plan.h"

namespace flashcore::testing {
namespace {

constexpr uint64_t kScheduleSeed = 3;
constexpr cuda::DeviceLimits kL4 = {.multiprocessors = 58, .l2_bytes = int64_t{48} << 20};
// So small that a persistent grid has fewer CTAs than tiles, and that units are taken in sections.
constexpr cuda::DeviceLimits kTiny = {.multiprocessors = 1, .l2_bytes = int64_t{1} << 17};

cuda::FusedPlan PlanAs(const EmulatedRun& run, const AttentionProblem& problem) {
  if (run.planned) return cuda::PlanFused(problem, kL4);
  const int64_t tiles = cuda::PlanFusedWith(problem, kTiny, run.kind, 1).tiles();
  return cuda::PlanFusedWith(problem, kTiny, run.kind, run.splits, run.tail ? tiles / 2 : 0);
}

absl::Span<const std::byte> BytesOf(const GuardedBuffer& buffer) {
  return {static_cast<const std::byte*>(buffer.data()), buffer.bytes()};
}

}  // namespace

void PrintTo(const EmulatedRun& run, std::ostream* out) {
  if (run.planned) {
    *out << "as planned";
  } else {
    *out << "tiles of kind " << static_cast<int>(run.kind) << ", " << run.splits << " splits"
         << (run.tail ? " of the last" : "");
  }
  *out << (run.grid == cuda::GridKind::kTiles ? ", a CTA each" : ", persistent") << ", order "
       << static_cast<int>(run.order) << " of seed " << kScheduleSeed;
}

std::vector<EmulatedRun> EveryTile(absl::Span<const int64_t> splits) {
  constexpr std::array kOrders = {emulation::Order::kForward, emulation::Order::kBackward, emulation::Order::kShuffled};
  std::vector<EmulatedRun> runs;
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
    for (size_t i = 0; i < splits.size(); ++i) {
      runs.push_back(
          {.kind = static_cast<cuda::TileKind>(kind),
           .splits = splits[i],
           .grid = (static_cast<size_t>(kind) + i) % 2 == 0 ? cuda::GridKind::kTiles : cuda::GridKind::kPersistent,
           .order = kOrders[runs.size() % kOrders.size()]});
    }
  }
  return runs;
}

// They keep the memory for splits from one run to the next.
class EmulatedBatch::Launchers {
 public:
  absl::Status Launch(const EmulatedRun& run, absl::Span<const AttentionProblem> problems) {
    run_ = run;
    cuda::FusedLauncher& launcher = run.grid == cuda::GridKind::kTiles ? tiles_ : persistent_;
    return launcher.Launch(problems, /*stream=*/nullptr).status();
  }

 private:
  EmulatedRun run_;
  cuda::FusedPlanner planner_ = [this](const AttentionProblem& problem) { return PlanAs(run_, problem); };
  cuda::FusedLauncher tiles_{kTiny, cuda::GridKind::kTiles, planner_};
  cuda::FusedLauncher persistent_{kTiny, cuda::GridKind::kPersistent, planner_};
};

EmulatedBatch::EmulatedBatch() : launchers_(std::make_unique<Launchers>()) {}
EmulatedBatch::EmulatedBatch(EmulatedBatch&&) noexcept = default;
EmulatedBatch& EmulatedBatch::operator=(EmulatedBatch&&) noexcept = default;
EmulatedBatch::~EmulatedBatch() = default;

HostProblem& EmulatedBatch::Add(const ProblemSpec& spec) {
  problems_.push_back(std::make_unique<HostProblem>(spec));
  return *problems_.back();
}

void EmulatedBatch::Run(size_t first, size_t count, const EmulatedRun& run) {
  std::vector<AttentionProblem> described;
  std::vector<absl::Span<const std::byte>> readable;
  for (size_t i = first; i < first + count; ++i) {
    HostProblem& problem = *problems_[i];
    problem.PoisonOutputs();
    described.push_back(problem.Describe());
    for (const GuardedBuffer* tensor : {&problem.q(), &problem.k(), &problem.v()}) readable.push_back(BytesOf(*tensor));
  }
  emulation::SetReadable(std::move(readable));
  emulation::SetSchedule(run.order, kScheduleSeed);
  const absl::Status status = launchers_->Launch(run, described);
  ASSERT_TRUE(status.ok()) << status;
}

void EmulatedBatch::ExpectCorrect(size_t first, size_t count, const EmulatedRun& run) {
  while (expected_.size() < size()) expected_.push_back(ComputeExpected(*problems_[expected_.size()]));
  Run(first, count, run);
  for (size_t i = first; i < first + count; ++i) {
    EXPECT_TRUE(Matches(*problems_[i], expected_[i]))
        << "problem " << i << ", one of " << count << ": " << ::testing::PrintToString(run);
  }
}

std::vector<std::vector<std::byte>> EmulatedBatch::OutputBits(const EmulatedRun& run) {
  Run(0, size(), run);
  std::vector<std::vector<std::byte>> bits;
  for (const auto& problem : problems_) bits.push_back(problem->OutputBits());
  return bits;
}

std::vector<std::byte> EmulatedBatch::OutputBitsAlone(size_t problem, const EmulatedRun& run) {
  Run(problem, 1, run);
  return problems_[problem]->OutputBits();
}

}  // namespace flashcore::testing
