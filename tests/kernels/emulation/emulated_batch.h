// Problems, what should come of them, and their runs through FusedLauncher on emulated CTAs.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_EMULATED_BATCH_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_EMULATED_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <vector>

#include "absl/types/span.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/fused_tiles.h"
#include "tests/kernels/emulation/cta.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// How a batch is cut up and run.
struct EmulatedRun {
  cuda::TileKind kind = cuda::TileKind::kWide;
  int64_t splits = 1;
  bool tail = false;     // Splits only the second half of a problem's tiles.
  bool planned = false;  // As PlanFused has it, for an L4: what is above does not count.
  cuda::GridKind grid = cuda::GridKind::kTiles;
  emulation::Order order = emulation::Order::kForward;
};
void PrintTo(const EmulatedRun& run, std::ostream* out);

// Every kind of tile with each of these numbers of splits; grids and orders take turns.
std::vector<EmulatedRun> EveryTile(absl::Span<const int64_t> splits);

class EmulatedBatch {
 public:
  EmulatedBatch();
  EmulatedBatch(EmulatedBatch&&) noexcept;
  EmulatedBatch& operator=(EmulatedBatch&&) noexcept;
  ~EmulatedBatch();

  // To be changed before the first run.
  HostProblem& Add(const ProblemSpec& spec);
  size_t size() const { return problems_.size(); }

  // All at once: with several problems, the kernels for many.
  void ExpectCorrect(const EmulatedRun& run) { ExpectCorrect(0, size(), run); }
  // The kernels for one problem.
  void ExpectCorrectAlone(size_t problem, const EmulatedRun& run) { ExpectCorrect(problem, 1, run); }

  // What all at once leave in their outputs, and what one leaves.
  std::vector<std::vector<std::byte>> OutputBits(const EmulatedRun& run);
  std::vector<std::byte> OutputBitsAlone(size_t problem, const EmulatedRun& run);

 private:
  class Launchers;

  void Run(size_t first, size_t count, const EmulatedRun& run);
  void ExpectCorrect(size_t first, size_t count, const EmulatedRun& run);

  std::vector<std::unique_ptr<HostProblem>> problems_;
  std::vector<Expected> expected_;
  std::unique_ptr<Launchers> launchers_;
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_EMULATED_BATCH_H_
