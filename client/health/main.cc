// flashcore_health: see kSynopsis. For containers and supervisors, so it wants no Python and no shell.
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/server_flags.h"
#include "client/tool_flags.h"
#include "client/tool_main.h"

ABSL_FLAG(absl::Duration, timeout, absl::Seconds(3),
          "How long the server may take to say SERVING: a probe's patience, or a script's while the server starts.");

namespace flashcore {
namespace {

constexpr char kSynopsis[] = R"(flashcore_health asks the standard gRPC health service whether the server is serving.

  flashcore_health --target=localhost:50051
  flashcore_health --target=unix:/run/flashcore/socket --timeout=60s
  flashcore_health --target=flashcore.example.org:50051 --tls_ca=ca.crt

Prints nothing if it is. Exit code: 0 SERVING, 1 anything else for the whole --timeout, 2 wrong usage.)";

absl::Status CheckHealth(const ServerChoice& server, absl::Duration timeout) {
  absl::StatusOr<Client> client = Client::Connect(server.target, {.security = server.security});
  return client.ok() ? client->WaitUntilServing(timeout) : client.status();
}

int RunHealth(const Tool& tool) {
  const absl::StatusOr<ServerChoice> server = ServerFromFlags();
  const absl::Duration timeout = absl::GetFlag(FLAGS_timeout);
  if (!server.ok() || timeout <= absl::ZeroDuration()) {
    tool.Complain(server.ok() ? "--timeout: must be above 0" : server.status().message());
    return kExitUsage;
  }
  const absl::Status healthy = CheckHealth(*server, timeout);
  if (healthy.ok()) return kExitOk;
  tool.Complain(healthy.message());
  return kExitFailed;
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  return flashcore::ToolMain(
      argc, argv, {.name = "flashcore_health", .synopsis = flashcore::kSynopsis, .run = flashcore::RunHealth});
}
