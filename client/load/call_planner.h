// Decides what the next call is: which request, whether its answer is checked, whether it is cancelled.
#ifndef FLASHCORE_CLIENT_LOAD_CALL_PLANNER_H_
#define FLASHCORE_CLIENT_LOAD_CALL_PLANNER_H_

#include <cstdint>
#include <random>

#include "client/load/run_options.h"
#include "client/load/transport.h"
#include "client/load/workload.h"

namespace flashcore {

// Not thread-safe: one for each slot or sender, with a seed of its own.
class CallPlanner {
 public:
  // Both must outlive this.
  CallPlanner(const Workload& workload, const RunOptions& options, uint64_t seed)
      : workload_(workload), options_(options), random_(seed) {}

  // keep_answer iff the answer is to be checked.
  CallPlan Next();

 private:
  bool Draw(double probability);

  const Workload& workload_;
  const RunOptions& options_;
  std::mt19937_64 random_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CALL_PLANNER_H_
