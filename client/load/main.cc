// flashcore_load: see kLoadSynopsis.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
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
#include "client/load/options.h"
#include "client/load/progress.h"
#include "client/load/report.h"
#include "client/load/runner.h"
#include "client/load/stop_signal.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"
#include "client/tool_flags.h"

namespace flashcore {
namespace {

// Answers that may wait for their check, for each slot of the loop.
constexpr size_t kWaitingPerSlot = 2;
constexpr size_t kMaxWaiting = 64;

void Complain(absl::string_view what) { absl::FPrintF(stderr, "flashcore_load: %s\n", what); }

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime));
}

int HardwareThreads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

bool IsBuiltInMix(absl::string_view spec) {
  const std::vector<NamedMix>& mixes = BuiltInMixes();
  return std::any_of(mixes.begin(), mixes.end(), [spec](const NamedMix& mix) { return mix.name == spec; });
}

// A built-in mix asks a server only for what it has; a mix that the user wrote is sent as it is.
std::vector<MixEntry> WithoutUnsupported(std::vector<MixEntry> mix, const ServerInfo& server) {
  const auto unsupported = [&server](const MixEntry& entry) {
    const bool known = std::count(server.dtypes.begin(), server.dtypes.end(), entry.dtype) > 0;
    if (!known) Complain(absl::StrCat("leaving out '", entry.text, "': the server has no ", Name(entry.dtype)));
    return !known;
  };
  mix.erase(std::remove_if(mix.begin(), mix.end(), unsupported), mix.end());
  return mix;
}

absl::StatusOr<ServerInfo> WaitForServer(Client& client, const LoadOptions& options) {
  if (options.wait_ready > absl::ZeroDuration()) {
    absl::Status serving = client.WaitUntilServing(options.wait_ready);
    if (!serving.ok()) return serving;
  }
  return client.GetServerInfo();
}

absl::StatusOr<Workload> PrepareWorkload(const LoadOptions& options) {
  ProgressLine line;
  return Workload::Create(options.mix,
                          {.variants = options.variants,
                           .seed = options.run.seed,
                           .expected_answers = options.run.verify_fraction > 0,
                           .threads = HardwareThreads()},
                          [&line](int done, int total) {
                            line.Show(absl::StrFormat("preparing tensors and expected answers: %d of %d", done, total));
                          });
}

std::string Describe(const RunProgress& progress, const VerifierTotals& verified) {
  std::string text =
      absl::StrFormat("%s %.1f s: %d answered, %d failed", progress.warming_up ? "warming up" : "measuring",
                      absl::ToDoubleSeconds(progress.elapsed), progress.answered, progress.failed);
  if (verified.checked > 0) absl::StrAppendFormat(&text, ", %d verified, %d wrong", verified.checked, verified.wrong);
  return text;
}

// Runs the load and fills the report's results.
void Measure(Client& client, const Workload& workload, StopSignal& signal, LoadReport& report) {
  const RunOptions& run = report.options.run;
  const CallOptions call{.timeout = report.options.timeout};
  Verifier verifier(run.verify_fraction > 0 ? HardwareThreads() : 0,
                    std::min(kMaxWaiting, kWaitingPerSlot * static_cast<size_t>(run.concurrency)));
  Runner runner(
      [&client, call](const PreparedRequest& request, AttendCallback callback) {
        client.AttendAsync(request.q, request.k, request.v, request.options, call, std::move(callback));
      },
      workload, &verifier, run);
  const absl::Time start = absl::Now();
  const double cpu_before = CpuSeconds();
  signal.SetHandler([&runner] { runner.Stop(); });
  {
    ProgressLine line;
    report.run = runner.Run([&](const RunProgress& progress) { line.Show(Describe(progress, verifier.totals())); });
  }
  signal.SetHandler(nullptr);
  report.client_cpu_seconds = CpuSeconds() - cpu_before;
  report.wall = absl::Now() - start;
  verifier.Flush();
  report.verified = verifier.totals();
}

absl::Status Print(const LoadReport& report) {
  const std::string& path = report.options.json_path;
  (path == "-" ? std::cerr : std::cout) << FormatTable(report) << std::flush;
  if (path.empty()) return absl::OkStatus();
  constexpr int kIndent = 2;
  const std::string json = ToJson(report).dump(kIndent, ' ', false, nlohmann::json::error_handler_t::replace);
  if (path == "-") {
    std::cout << json << '\n' << std::flush;
    return absl::OkStatus();
  }
  std::ofstream file(path);
  file << json << '\n' << std::flush;
  return file.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("--json: cannot write ", path));
}

absl::StatusOr<LoadReport> RunLoad(LoadOptions options, StopSignal& signal) {
  absl::StatusOr<Client> client = Client::Connect(options.target, {.channels = options.channels});
  if (!client.ok()) return client.status();
  absl::StatusOr<ServerInfo> server = WaitForServer(*client, options);
  if (!server.ok()) return server.status();
  if (IsBuiltInMix(options.mix_spec)) options.mix = WithoutUnsupported(std::move(options.mix), *server);
  if (options.mix.empty()) return absl::UnimplementedError("the server supports no entry of the mix");
  const absl::StatusOr<Workload> workload = PrepareWorkload(options);
  if (!workload.ok()) return workload.status();

  LoadReport report;
  report.options = std::move(options);
  report.server = *std::move(server);
  Measure(*client, *workload, signal, report);
  return report;
}

int Main(int argc, char** argv) {
  if (const absl::Status parsed = ParseToolFlags(argc, argv); !parsed.ok()) {
    if (absl::IsCancelled(parsed)) {
      std::cout << ToolHelp(kLoadSynopsis);
      return kExitOk;
    }
    Complain(parsed.message());
    return kExitUsage;
  }
  absl::StatusOr<LoadOptions> options = LoadOptionsFromFlags();
  if (!options.ok()) {
    Complain(options.status().message());
    return kExitUsage;
  }
  StopSignal signal;
  const absl::StatusOr<LoadReport> report = RunLoad(*std::move(options), signal);
  if (!report.ok()) {
    Complain(report.status().ToString());
    return kExitFailed;
  }
  if (const absl::Status printed = Print(*report); !printed.ok()) {
    Complain(printed.message());
    return kExitFailed;
  }
  return IsGood(*report) ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  try {
    return flashcore::Main(argc, argv);
  } catch (const std::exception& error) {  // Out of memory, most likely: we throw nothing.
    flashcore::Complain(error.what());
    return flashcore::kExitFailed;
  }
}
