// flashcore_load's command line.
#ifndef FLASHCORE_CLIENT_LOAD_OPTIONS_H_
#define FLASHCORE_CLIENT_LOAD_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/load/mix.h"
#include "client/load/rate_search.h"
#include "client/load/run_options.h"
#include "client/server_flags.h"

namespace flashcore {

struct LoadOptions {
  ServerChoice server;
  bool streaming = false;
  int channels = 1;
  absl::Duration slow_read;
  std::string mix_spec;
  std::vector<MixEntry> mix;
  int variants = 1;
  absl::Duration timeout;
  absl::Duration wait_ready;
  std::string metrics_address;  // Empty: scrape nothing.
  // What to measure, in this order. At least one. A search has one, and takes the rates from `search`.
  std::vector<RunOptions> runs;
  absl::Duration search_p99;  // Above 0: search for the highest rate that keeps p99 within it.
  RateSearchOptions search;
  double max_errors = 0;       // The fraction of failed calls that a good run may have.
  bool allow_invalid = false;  // An invalid run is no reason for an exit code.
  // Empty: none. "-": standard output.
  std::string json_path;
  std::string csv_path;
  std::string html_path;
};

// What --help opens with.
extern const absl::string_view kLoadSynopsis;

// From the flags, which must have been parsed. INVALID_ARGUMENT names the flag and says what would be right.
absl::StatusOr<LoadOptions> LoadOptionsFromFlags();

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_OPTIONS_H_
