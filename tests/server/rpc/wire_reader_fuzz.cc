// libFuzzer's entry. Configure with Clang and -DFLASHCORE_FUZZ=ON, then: bin/wire_reader_fuzz -max_total_time=60
#include <cstddef>
#include <cstdint>

#include "tests/server/rpc/wire_fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  flashcore::testing::ReadCheckAndStage({reinterpret_cast<const char*>(data), size});
  return 0;
}
