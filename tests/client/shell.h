// Runs a command as a user at a shell does.
#ifndef FLASHCORE_TESTS_CLIENT_SHELL_H_
#define FLASHCORE_TESTS_CLIENT_SHELL_H_

#include <string>

namespace flashcore {

struct Outcome {
  int exit_code = -1;
  std::string output;  // Both streams.
};

// Blocks until it has ended.
Outcome Shell(const std::string& command);

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_CLIENT_SHELL_H_
