// Problems of the kernel harness, staged in an engine's arena as the server stages requests: one block for Q, K and V,
// one for O and LSE.
#ifndef FLASHCORE_TESTS_SERVER_ENGINE_STAGED_BATCH_H_
#define FLASHCORE_TESTS_SERVER_ENGINE_STAGED_BATCH_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "kernels/attention.h"
#include "server/engine/host_arena.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// Specs must have no gaps. The arena must have room, or the test aborts.
class StagedBatch {
 public:
  StagedBatch(HostArena& arena, absl::Span<const ProblemSpec> specs);

  // With pointers into the arena.
  const std::vector<AttentionProblem>& problems() const { return problems_; }
  // Fills the outputs with 0xff again.
  void PoisonOutputs();
  // Expects the staged O and LSE of every problem to be right.
  void ExpectCorrect();

 private:
  struct Staged {
    std::unique_ptr<HostProblem> host;
    HostBlock input;
    HostBlock output;
  };

  std::vector<Staged> staged_;
  std::vector<AttentionProblem> problems_;
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_ENGINE_STAGED_BATCH_H_
