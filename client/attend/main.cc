// flashcore_attend: see kAttendSynopsis.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/attend/npy.h"
#include "client/attend/options.h"
#include "client/attend/summary.h"
#include "client/client.h"
#include "client/tool_flags.h"
#include "client/tool_main.h"
#include "client/verify/reference_check.h"

namespace flashcore {
namespace {

absl::StatusOr<AttendSummary> Ask(const AttendToolOptions& options) {
  absl::StatusOr<Client> client = Client::Connect(options.server.target, {.security = options.server.security});
  if (!client.ok()) return client.status();
  if (options.wait_ready > absl::ZeroDuration()) {
    absl::Status serving = client->WaitUntilServing(options.wait_ready);
    if (!serving.ok()) return serving;
  }
  const AttendInputs& inputs = options.inputs;
  const absl::Time start = absl::Now();
  absl::StatusOr<AttendResult> answer = client->Attend(inputs.q, inputs.k, inputs.v, options.attend,
                                                       {.timeout = options.timeout, .priority = options.priority});
  if (!answer.ok()) return client->Explain(answer.status());
  return AttendSummary{.inputs = inputs, .answer = *std::move(answer), .latency = absl::Now() - start, .verdict = {}};
}

absl::Status WriteTensors(const AttendToolOptions& options, const AttendResult& answer) {
  if (!options.out_path.empty()) {
    if (absl::Status written = WriteNpyFile(answer.o, options.out_path); !written.ok()) return written;
  }
  if (!options.lse_out_path.empty()) return WriteNpyFile(*answer.lse, options.lse_out_path);
  return absl::OkStatus();
}

absl::Status Verify(const AttendToolOptions& options, AttendSummary& summary) {
  const AttendInputs& inputs = options.inputs;
  const absl::StatusOr<ExpectedAnswer> expected = ComputeExpected(inputs.q, inputs.k, inputs.v, options.attend);
  if (!expected.ok()) return expected.status();
  summary.verdict = Check(*expected, summary.answer);
  return absl::OkStatus();
}

absl::StatusOr<AttendSummary> Run(const AttendToolOptions& options) {
  absl::StatusOr<AttendSummary> summary = Ask(options);
  if (!summary.ok()) return summary;
  if (absl::Status written = WriteTensors(options, summary->answer); !written.ok()) return written;
  if (options.verify) {
    if (absl::Status verified = Verify(options, *summary); !verified.ok()) return verified;
  }
  return summary;
}

int RunAttend(const Tool& tool) {
  const absl::StatusOr<AttendToolOptions> options = AttendToolOptionsFromFlags();
  if (!options.ok()) {
    tool.Complain(options.status().message());
    return kExitUsage;
  }
  const absl::StatusOr<AttendSummary> summary = Run(*options);
  if (!summary.ok()) {
    tool.Complain(summary.status().ToString());
    return kExitFailed;
  }
  if (options->json) {
    constexpr int kIndent = 2;
    std::cout << ToJson(*summary).dump(kIndent, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  } else {
    std::cout << FormatSummary(*summary);
  }
  return summary->verdict.has_value() && !summary->verdict->right ? kExitFailed : kExitOk;
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  return flashcore::ToolMain(
      argc, argv, {.name = "flashcore_attend", .synopsis = flashcore::kAttendSynopsis, .run = flashcore::RunAttend});
}
