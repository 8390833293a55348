// The outside of a command-line tool: flags, --help, complaints and exit codes. What it does is its own.
#ifndef FLASHCORE_CLIENT_TOOL_MAIN_H_
#define FLASHCORE_CLIENT_TOOL_MAIN_H_

#include "absl/strings/string_view.h"

namespace flashcore {

struct Tool {
  absl::string_view name;
  absl::string_view synopsis;  // What --help opens with.
  // Runs with the flags set. Returns the exit code.
  int (*run)(const Tool& tool);

  // "name: what" on standard error.
  void Complain(absl::string_view what) const;
};

// main()'s whole work: sets the flags, or answers --help, or says what is wrong with them; then runs the tool. An
// exception, out of memory most likely, is a complaint and kExitFailed.
int ToolMain(int argc, char** argv, const Tool& tool);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TOOL_MAIN_H_
