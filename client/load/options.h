// flashcore_load's command line.
#ifndef FLASHCORE_CLIENT_LOAD_OPTIONS_H_
#define FLASHCORE_CLIENT_LOAD_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/load/mix.h"
#include "client/load/runner.h"

namespace flashcore {

struct LoadOptions {
  std::string target;
  int channels = 1;
  std::string mix_spec;
  std::vector<MixEntry> mix;
  int variants = 1;
  absl::Duration timeout;
  absl::Duration wait_ready;
  std::string json_path;  // Empty: none. "-": standard output.
  RunOptions run;
};

// What --help opens with.
extern const absl::string_view kLoadSynopsis;

// From the flags, which must have been parsed. INVALID_ARGUMENT names the flag and says what would be right.
absl::StatusOr<LoadOptions> LoadOptionsFromFlags();

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_OPTIONS_H_
