// flashcore_load: see kLoadSynopsis.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/load/clock.h"
#include "client/load/experiment.h"
#include "client/load/grpc_transport.h"
#include "client/load/html_report.h"
#include "client/load/options.h"
#include "client/load/progress.h"
#include "client/load/report.h"
#include "client/load/report_json.h"
#include "client/load/report_text.h"
#include "client/load/runner.h"
#include "client/load/server_metrics.h"
#include "client/load/stop_signal.h"
#include "client/load/validity.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"
#include "client/tool_flags.h"
#include "client/tool_main.h"

namespace flashcore {
namespace {

// Beside those of every tool.
constexpr int kExitInvalid = 3;

// Answers that may wait for their check, for each call that may be under way.
constexpr size_t kWaitingPerCall = 2;
constexpr size_t kMaxWaiting = 64;

int HardwareThreads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

bool IsBuiltInMix(absl::string_view spec) {
  const std::vector<NamedMix>& mixes = BuiltInMixes();
  return std::any_of(mixes.begin(), mixes.end(), [spec](const NamedMix& mix) { return mix.name == spec; });
}

// A built-in mix asks a server only for what it has; a mix that the user wrote is sent as it is.
std::vector<MixEntry> WithoutUnsupported(std::vector<MixEntry> mix, const ServerInfo& server, const Tool& tool) {
  const auto unsupported = [&](const MixEntry& entry) {
    const bool known = std::count(server.dtypes.begin(), server.dtypes.end(), entry.dtype) > 0;
    if (!known) {
      tool.Complain(absl::StrCat("leaving out '", entry.text, "': the server has no ", Name(entry.dtype)));
    }
    return !known;
  };
  mix.erase(std::remove_if(mix.begin(), mix.end(), unsupported), mix.end());
  return mix;
}

absl::StatusOr<ServerInfo> AskServer(const LoadOptions& options) {
  absl::StatusOr<Client> client = Client::Connect(options.server.target, {.security = options.server.security});
  if (!client.ok()) return client.status();
  if (options.wait_ready > absl::ZeroDuration()) {
    absl::Status serving = client->WaitUntilServing(options.wait_ready);
    if (!serving.ok()) return serving;
  }
  absl::StatusOr<ServerInfo> info = client->GetServerInfo();
  if (!info.ok()) return client->Explain(info.status());
  return info;
}

absl::StatusOr<Workload> PrepareWorkload(const LoadOptions& options) {
  const RunOptions& run = options.runs.front();
  ProgressLine line;
  return Workload::Create(options.mix,
                          {.variants = options.variants,
                           .seed = run.seed,
                           .expected_answers = run.verify_fraction > 0,
                           .threads = HardwareThreads()},
                          [&line](int done, int total) {
                            line.Show(absl::StrFormat("preparing tensors and expected answers: %d of %d", done, total));
                          });
}

absl::StatusOr<std::unique_ptr<Transport>> MakeTransport(const LoadOptions& options, const Workload& workload) {
  const TransportOptions transport{.target = options.server.target,
                                   .security = options.server.security,
                                   .channels = options.channels,
                                   .timeout = options.timeout,
                                   .slow_read = options.slow_read};
  return options.streaming ? MakeStreamTransport(transport, workload) : MakeUnaryTransport(transport, workload);
}

std::string Describe(const RunOptions& run, const RunProgress& progress, const VerifierTotals& verified) {
  const double span_s = absl::ToDoubleSeconds(progress.recent_span);
  std::string text = absl::StrFormat(
      "%s %.1f s, %s: %.0f/s, p50 %.2f ms, p99 %.2f ms, %d under way; %d answered, %d failed",
      progress.warming_up ? "warming up" : "measuring", absl::ToDoubleSeconds(progress.elapsed),
      absl::StrCat(VariableName(run), " ", VariableValue(run)),
      span_s > 0 ? static_cast<double>(progress.recent.answered) / span_s : 0,
      static_cast<double>(progress.recent.p50_ns) / kNsPerMs, static_cast<double>(progress.recent.p99_ns) / kNsPerMs,
      progress.in_flight, progress.answered, progress.failed);
  if (verified.checked > 0) absl::StrAppendFormat(&text, ", %d verified, %d wrong", verified.checked, verified.wrong);
  return text;
}

PointReport Measure(Transport& transport, const Workload& workload, const LoadOptions& options, const RunOptions& run,
                    StopSignal& signal) {
  const auto calls = static_cast<size_t>(run.open_loop() ? run.max_in_flight : run.concurrency);
  Verifier verifier(run.verify_fraction > 0 ? HardwareThreads() : 0, std::min(kMaxWaiting, kWaitingPerCall * calls));
  SteadyLoadClock clock;
  Runner runner(transport, workload, &verifier, run, clock);
  PointReport point;
  point.run = run;
  const MetricsScraper scraper(options.metrics_address);
  signal.SetHandler([&runner] { runner.Stop(); });
  {
    ProgressLine line;
    point.result =
        runner.Run([&](const RunProgress& progress) { line.Show(Describe(run, progress, verifier.totals())); });
  }
  signal.SetHandler(nullptr);
  point.metrics = scraper.Finish();
  verifier.Flush();
  point.verified = verifier.totals();
  point.validity = Judge(run, point.result);
  return point;
}

// `flag` is for the complaint.
absl::Status Write(absl::string_view flag, const std::string& path, const std::string& text) {
  if (path.empty()) return absl::OkStatus();
  if (path == "-") {
    std::cout << text << std::flush;
    return absl::OkStatus();
  }
  std::ofstream file(path);
  file << text << std::flush;
  return file.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("--", flag, ": cannot write ", path));
}

absl::Status Publish(const LoadReport& report) {
  const LoadOptions& options = report.options;
  const bool stdout_taken = options.json_path == "-" || options.csv_path == "-" || options.html_path == "-";
  (stdout_taken ? std::cerr : std::cout) << FormatReport(report) << std::flush;
  constexpr int kIndent = 2;
  const std::string json = ToJson(report).dump(kIndent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  absl::Status written = Write("json", options.json_path, json);
  written.Update(Write("csv", options.csv_path, ToCsv(report)));
  if (!options.html_path.empty()) written.Update(Write("html", options.html_path, ToHtml(report)));
  return written;
}

absl::StatusOr<LoadReport> RunLoad(LoadOptions options, StopSignal& signal, const Tool& tool) {
  absl::StatusOr<ServerInfo> server = AskServer(options);
  if (!server.ok()) return server.status();
  if (IsBuiltInMix(options.mix_spec)) options.mix = WithoutUnsupported(std::move(options.mix), *server, tool);
  if (options.mix.empty()) return absl::UnimplementedError("the server supports no entry of the mix");
  const absl::StatusOr<Workload> workload = PrepareWorkload(options);
  if (!workload.ok()) return workload.status();
  const absl::StatusOr<std::unique_ptr<Transport>> transport = MakeTransport(options, *workload);
  if (!transport.ok()) return transport.status();

  LoadReport report;
  report.options = std::move(options);
  report.server = *std::move(server);
  report.started = absl::Now();
  RunExperiment(
      report.options,
      [&](const RunOptions& run) { return Measure(**transport, *workload, report.options, run, signal); }, report);
  return report;
}

int RunTool(const Tool& tool) {
  absl::StatusOr<LoadOptions> options = LoadOptionsFromFlags();
  if (!options.ok()) {
    tool.Complain(options.status().message());
    return kExitUsage;
  }
  StopSignal signal;
  const absl::StatusOr<LoadReport> report = RunLoad(*std::move(options), signal, tool);
  if (!report.ok()) {
    tool.Complain(report.status().ToString());
    return kExitFailed;
  }
  if (const absl::Status published = Publish(*report); !published.ok()) {
    tool.Complain(published.message());
    return kExitFailed;
  }
  if (!IsGood(*report)) return kExitFailed;
  return IsValid(*report) || report->options.allow_invalid ? kExitOk : kExitInvalid;
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  return flashcore::ToolMain(
      argc, argv, {.name = "flashcore_load", .synopsis = flashcore::kLoadSynopsis, .run = flashcore::RunTool});
}
