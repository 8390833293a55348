#include "tests/server/engine/staged_batch.h"

#include <cstddef>
#include <cstring>
#include <utility>

namespace flashcore::testing {
namespace {

size_t RoundUp(size_t bytes) {
  return (bytes + HostArena::kAlignment - 1) / HostArena::kAlignment * HostArena::kAlignment;
}

}  // namespace

StagedBatch::StagedBatch(HostArena& arena, absl::Span<const ProblemSpec> specs) {
  for (const ProblemSpec& spec : specs) {
    Staged staged;
    staged.host = std::make_unique<HostProblem>(spec);
    HostProblem& host = *staged.host;
    const size_t k_offset = RoundUp(host.q().bytes());
    const size_t v_offset = k_offset + RoundUp(host.k().bytes());
    const size_t lse_offset = RoundUp(host.o().bytes());
    staged.input = arena.Allocate(v_offset + host.v().bytes()).value();
    staged.output = arena.Allocate(lse_offset + host.lse().bytes()).value();

    AttentionProblem problem = host.Describe();
    problem.q = staged.input.data();
    problem.k = staged.input.data() + k_offset;
    problem.v = staged.input.data() + v_offset;
    problem.o = staged.output.data();
    if (problem.lse != nullptr) problem.lse = reinterpret_cast<float*>(staged.output.data() + lse_offset);
    if (staged.input.size_bytes() > 0) {
      std::memcpy(staged.input.data(), host.q().data(), host.q().bytes());
      std::memcpy(staged.input.data() + k_offset, host.k().data(), host.k().bytes());
      std::memcpy(staged.input.data() + v_offset, host.v().data(), host.v().bytes());
    }
    problems_.push_back(problem);
    staged_.push_back(std::move(staged));
  }
  PoisonOutputs();
}

void StagedBatch::PoisonOutputs() {
  for (const Staged& staged : staged_) {
    if (staged.output.size_bytes() > 0) std::memset(staged.output.data(), 0xFF, staged.output.size_bytes());
  }
}

void StagedBatch::ExpectCorrect() {
  for (size_t i = 0; i < staged_.size(); ++i) {
    HostProblem& host = *staged_[i].host;
    if (host.o().bytes() > 0) std::memcpy(host.o().data(), problems_[i].o, host.o().bytes());
    if (host.lse().bytes() > 0) std::memcpy(host.lse().data(), problems_[i].lse, host.lse().bytes());
    EXPECT_TRUE(Matches(host, ComputeExpected(host)));
  }
}

}  // namespace flashcore::testing
