// flashcore_attend's command line.
#ifndef FLASHCORE_CLIENT_ATTEND_OPTIONS_H_
#define FLASHCORE_CLIENT_ATTEND_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/attend.h"
#include "client/server_flags.h"
#include "client/tensor.h"

namespace flashcore {

struct AttendInputs {
  Tensor q;
  Tensor k;
  Tensor v;
};

struct AttendToolOptions {
  ServerChoice server;
  AttendInputs inputs;
  AttendOptions attend;
  Priority priority = Priority::kNormal;
  absl::Duration timeout;
  absl::Duration wait_ready;
  std::string out_path;      // Empty: none.
  std::string lse_out_path;  // Empty: none.
  bool json = false;
  bool verify = false;
};

// What --help opens with.
extern const absl::string_view kAttendSynopsis;

// From the flags, which must have been parsed: makes or reads the tensors. INVALID_ARGUMENT or NOT_FOUND names the flag
// and says what would be right.
absl::StatusOr<AttendToolOptions> AttendToolOptionsFromFlags();

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_ATTEND_OPTIONS_H_
