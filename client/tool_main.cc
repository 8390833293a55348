#include "client/tool_main.h"

#include <exception>
#include <iostream>

#include "absl/status/status.h"
#include "client/tool_flags.h"

namespace flashcore {

void Tool::Complain(absl::string_view what) const { std::cerr << name << ": " << what << '\n'; }

int ToolMain(int argc, char** argv, const Tool& tool) {
  try {
    const absl::Status parsed = ParseToolFlags(argc, argv);
    if (absl::IsCancelled(parsed)) {
      std::cout << ToolHelp(tool.synopsis);
      return kExitOk;
    }
    if (!parsed.ok()) {
      tool.Complain(parsed.message());
      return kExitUsage;
    }
    return tool.run(tool);
  } catch (const std::exception& error) {
    tool.Complain(error.what());
    return kExitFailed;
  }
}

}  // namespace flashcore
