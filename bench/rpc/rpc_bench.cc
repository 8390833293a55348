// flashcore_rpc_bench: the same closed loop against several servers of flashcore.v1.AttentionService, in turns.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bench/rpc/cases.h"
#include "bench/rpc/load.h"
#include "bench/rpc/report.h"
#include "bench/rpc/requests.h"
#include "bench/rpc/samples.h"
#include "bench/rpc/target.h"
#include "client/client.h"
#include "client/verify/reference_check.h"

ABSL_FLAG(std::string, servers, "",
          "name=target or name=target@PID, separated by commas; a target is host:port or unix:/path. The first name is "
          "the baseline. A server may be listed with two targets, one for each transport. With a PID, its CPU time is "
          "measured too.");
ABSL_FLAG(std::string, cases, "mission unary tcp 1x1, mission unary tcp 32x8",
          "What to measure, separated by commas: 'mission|1KiB unary|stream tcp|uds CONCURRENCYxCHANNELS'. A server "
          "without a target for a case's transport is left out of it.");
ABSL_FLAG(std::vector<std::string>, verify, {},
          "Names of servers whose answers are compared with the double-precision reference before anything is timed.");
ABSL_FLAG(std::vector<std::string>, unary_only, {}, "Names of servers that take no part in stream cases.");
ABSL_FLAG(std::string, also_against, "",
          "Name of a server that the others are compared with too, beside the baseline.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(2), "How long to measure each server in each case, in all.");
ABSL_FLAG(absl::Duration, warmup, absl::Milliseconds(100), "Load before each repetition, which does not count.");
ABSL_FLAG(int, repetitions, 5, "Each server's turns in each case, from 1 to 1000.");
ABSL_FLAG(std::string, json, "", "Also write the results as JSON to this file.");

namespace flashcore::bench {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(20);
constexpr int kMaxRepetitions = 1000;

struct Options {
  std::vector<Address> addresses;
  std::vector<Case> cases;
  int repetitions = 0;
  LoadTimes times;
};

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::StatusOr<Options> OptionsFromFlags() {
  Options options;
  absl::StatusOr<std::vector<Address>> addresses = ParseAddresses(absl::GetFlag(FLAGS_servers));
  if (!addresses.ok()) return absl::InvalidArgumentError(absl::StrCat("--servers: ", addresses.status().message()));
  absl::StatusOr<std::vector<Case>> cases = ParseCases(absl::GetFlag(FLAGS_cases));
  if (!cases.ok()) return absl::InvalidArgumentError(absl::StrCat("--cases: ", cases.status().message()));
  options.addresses = *std::move(addresses);
  options.cases = *std::move(cases);
  options.repetitions = absl::GetFlag(FLAGS_repetitions);
  if (options.repetitions < 1 || options.repetitions > kMaxRepetitions) {
    return absl::InvalidArgumentError(absl::StrCat("--repetitions: want 1 to ", kMaxRepetitions));
  }
  options.times = {.warmup = absl::GetFlag(FLAGS_warmup),
                   .duration = absl::GetFlag(FLAGS_duration) / options.repetitions};
  if (options.times.duration <= absl::ZeroDuration() || options.times.warmup < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--duration must be above 0, and --warmup not below");
  }
  return options;
}

// One answer of each payload, held against the reference.
absl::Status Verify(const Address& address) {
  absl::StatusOr<Client> client = Client::Connect(address.target);
  if (!client.ok()) return client.status();
  for (const Payload payload : {Payload::kMission, Payload::kSmall}) {
    const Problem problem = MakeProblem(payload);
    const absl::StatusOr<ExpectedAnswer> expected = ComputeExpected(problem.q, problem.k, problem.v, {});
    if (!expected.ok()) return expected.status();
    const absl::StatusOr<AttendResult> answer =
        client->Attend(problem.q, problem.k, problem.v, {}, {.timeout = kConnectTimeout});
    if (!answer.ok()) return answer.status();
    const Verdict verdict = Check(*expected, *answer);
    if (!verdict.right) return absl::DataLossError(verdict.problem);
    absl::FPrintF(stderr, "%s at %s is right: max error %.1e, tolerance %.1e\n", address.server, address.target,
                  verdict.max_error, verdict.tolerance);
  }
  return absl::OkStatus();
}

absl::Status VerifyAll(const std::vector<Address>& addresses) {
  for (const Address& address : addresses) {
    if (!Contains(absl::GetFlag(FLAGS_verify), address.server)) continue;
    if (const absl::Status status = Verify(address); !status.ok()) {
      return {status.code(), absl::StrCat(address.server, " at ", address.target, ": ", status.message())};
    }
  }
  return absl::OkStatus();
}

// Those that take part in the case, the baseline first.
std::vector<Target*> TargetsOf(const Case& c, std::deque<Target>& targets) {
  std::vector<Target*> chosen;
  for (Target& target : targets) {
    const bool streams = !Contains(absl::GetFlag(FLAGS_unary_only), target.address().server);
    if (target.address().transport() == c.transport && (streams || c.shape == CallShape::kUnary)) {
      chosen.push_back(&target);
    }
  }
  return chosen;
}

// Repetition by repetition, every server once, each first in some of them.
absl::StatusOr<CaseResult> MeasureCase(const Case& c, const std::vector<Target*>& targets, const Options& options) {
  const Problem problem = MakeProblem(c.payload);
  const Exchange exchange = {.request = EncodeRequest(problem), .least_answer_bytes = LeastAnswerBytes(problem)};
  CaseResult result{.c = c, .servers = {}};
  for (Target* target : targets) {
    if (absl::Status status = target->Connect(c.channels, kConnectTimeout); !status.ok()) return status;
    result.servers.push_back({.server = target->address().server, .samples = {}});
  }
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    for (size_t turn = 0; turn < targets.size(); ++turn) {
      const size_t i = (turn + static_cast<size_t>(repetition)) % targets.size();
      result.servers[i].samples.push_back(Measure(*targets[i], c, exchange, options.times));
    }
  }
  return result;
}

absl::StatusOr<std::vector<CaseResult>> MeasureAll(const Options& options) {
  std::deque<Target> targets;
  for (const Address& address : options.addresses) targets.emplace_back(address);
  std::vector<CaseResult> results;
  for (const Case& c : options.cases) {
    const std::vector<Target*> chosen = TargetsOf(c, targets);
    if (chosen.empty()) continue;
    absl::FPrintF(stderr, "measuring %s\n", ToString(c));
    absl::StatusOr<CaseResult> result = MeasureCase(c, chosen, options);
    if (!result.ok()) return result.status();
    results.push_back(*std::move(result));
  }
  return results;
}

absl::Status WriteJson(const std::vector<CaseResult>& results, const std::string& path) {
  constexpr int kIndent = 2;
  std::ofstream file(path);
  file << ToJson(results).dump(kIndent) << '\n' << std::flush;
  return file.good() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("--json: cannot write ", path));
}

absl::Status Run() {
  const absl::StatusOr<Options> options = OptionsFromFlags();
  if (!options.ok()) return options.status();
  if (absl::Status status = VerifyAll(options->addresses); !status.ok()) return status;
  const absl::StatusOr<std::vector<CaseResult>> results = MeasureAll(*options);
  if (!results.ok()) return results.status();
  std::cout << FormatTables(*results, absl::GetFlag(FLAGS_also_against)) << std::flush;
  const std::string path = absl::GetFlag(FLAGS_json);
  if (!path.empty()) {
    if (absl::Status status = WriteJson(*results, path); !status.ok()) return status;
  }
  return AllAnswered(*results) ? absl::OkStatus() : absl::InternalError("not every request was answered");
}

void DescribeProgram() {
  absl::SetProgramUsageMessage("Loads several servers in turns, and compares them with the first.");
  absl::FlagsUsageConfig config;
  config.contains_help_flags = [](absl::string_view file) { return absl::EndsWith(file, "/rpc_bench.cc"); };
  absl::SetFlagsUsageConfig(config);
}

}  // namespace
}  // namespace flashcore::bench

int main(int argc, char** argv) {
  try {
    flashcore::bench::DescribeProgram();
    absl::ParseCommandLine(argc, argv);
    const absl::Status status = flashcore::bench::Run();
    if (status.ok()) return EXIT_SUCCESS;
    absl::FPrintF(stderr, "flashcore_rpc_bench: %s\n", status.ToString());
  } catch (const std::exception& error) {  // Out of memory, most likely: we throw nothing.
    absl::FPrintF(stderr, "flashcore_rpc_bench: %s\n", error.what());
  }
  return EXIT_FAILURE;
}
