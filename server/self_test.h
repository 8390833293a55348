// A known problem through the engine before the server says that it serves: a miscompiled kernel, a wrong driver or a
// broken device must not answer anybody.
#ifndef FLASHCORE_SERVER_SELF_TEST_H_
#define FLASHCORE_SERVER_SELF_TEST_H_

#include "absl/status/status.h"
#include "server/engine/engine.h"

namespace flashcore {

// Computes the problem in every dtype of the engine's backend and compares O and LSE with the reference backend.
// Blocks for some milliseconds. INTERNAL says what differs; errors of the engine.
absl::Status SelfTest(Engine& engine);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SELF_TEST_H_
