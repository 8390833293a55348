// What is done with each input of the fuzzer.
#ifndef FLASHCORE_TESTS_SERVER_RPC_WIRE_FUZZ_TARGET_H_
#define FLASHCORE_TESTS_SERVER_RPC_WIRE_FUZZ_TARGET_H_

#include "absl/strings/string_view.h"

namespace flashcore::testing {

// Reads `bytes`, cut into chunks by their first byte, as either request, checks what can be read, and stages what
// passes. Crashes if anything lies outside of the message or its staging memory.
void ReadCheckAndStage(absl::string_view bytes);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_RPC_WIRE_FUZZ_TARGET_H_
