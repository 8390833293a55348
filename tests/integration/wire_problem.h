// A kernel test's problem as a request on the wire, and the answer to it.
#ifndef FLASHCORE_TESTS_INTEGRATION_WIRE_PROBLEM_H_
#define FLASHCORE_TESTS_INTEGRATION_WIRE_PROBLEM_H_

#include "flashcore/v1/attention.pb.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// The problem of `spec`, whose tensors are contiguous.
v1::AttendRequest ToRequest(const ProblemSpec& spec);

// That `response` answers the request of `spec`: shapes, dtypes, layout, timing, and the numbers, by the kernel tests'
// own tolerance.
void ExpectAnswers(const v1::AttendResponse& response, const ProblemSpec& spec);

// Keeps a server with --backend=reference busy for a second or so. Q, K, V and O take 2 MiB each.
ProblemSpec SlowSpec();

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_WIRE_PROBLEM_H_
