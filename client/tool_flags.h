// Command lines of the client's tools: Abseil flags, with the exit codes and messages that a person at a shell expects.
#ifndef FLASHCORE_CLIENT_TOOL_FLAGS_H_
#define FLASHCORE_CLIENT_TOOL_FLAGS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace flashcore {

// What both tools end with.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Sets the flags from `argv`: --name=value, --name value, --name and --noname for booleans. INVALID_ARGUMENT says which
// argument is wrong: an unknown flag (with the nearest known one), a value that cannot be read, or a word that is no
// flag. CANCELLED: the arguments ask for --help. Not thread-safe.
absl::Status ParseToolFlags(int argc, char** argv);

// `synopsis`, then every flag with its help and its default.
std::string ToolHelp(absl::string_view synopsis);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TOOL_FLAGS_H_
