#include "client/load/options.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <thread>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "client/load/number_list.h"

ABSL_FLAG(
    std::string, concurrency, "1",
    "Closed loop: requests under way at any time; each is followed by the next when it is answered. A list, 1,4,16 "
    "or 1:64:*2 (from, to, factor), is a sweep.");
ABSL_FLAG(std::string, rate, "",
          "Open loop: requests per second, sent when they are due whatever the server does. A list, 500,1000 or "
          "500:5000:+500 (from, to, step), is a sweep. Empty: a closed loop.");
ABSL_FLAG(std::string, arrivals, "constant",
          "Of an open loop: 'constant' (evenly spaced) or 'poisson' (independent of each other, from --seed).");
ABSL_FLAG(int, senders, 0, "Threads that send in an open loop. 0: one for every 20,000 requests per second.");
ABSL_FLAG(
    int, max_in_flight, 1024,
    "Requests under way at most in an open loop, which bounds memory. Those due beyond wait, and their latency from "
    "the intended start says so.");
ABSL_FLAG(absl::Duration, search_p99, absl::ZeroDuration(),
          "Above 0: search for the highest rate that keeps p99 from the intended start within this, and fails at most "
          "one request in a thousand (or --max_errors, if that is more). Each trial takes --warmup and --duration.");
ABSL_FLAG(double, search_from, 100, "The rate that a search tries first.");
ABSL_FLAG(double, search_to, 100'000, "The highest rate that a search tries.");
ABSL_FLAG(double, search_resolution, 0.05, "How close, as a fraction, a search brackets the rate.");
ABSL_FLAG(std::string, mode, "unary",
          "'unary' (Attend, a call for each request) or 'stream' (AttendStream, one per channel).");
ABSL_FLAG(int, channels, 0,
          "Connections that share the requests. One carries about 1 GB/s. 0: one for every 4 of --concurrency, "
          "8 at most; 4 for an open loop.");
ABSL_FLAG(
    absl::Duration, slow_read, absl::ZeroDuration(),
    "Above 0: be a slow reader, which reads an answer this long after its call (unary) or after the answer before "
    "it (stream).");
ABSL_FLAG(double, cancel, 0,
          "Fraction of the requests, chosen at random, to cancel; they count as cancelled, not failed.");
ABSL_FLAG(absl::Duration, cancel_within, absl::Milliseconds(10),
          "A request to be cancelled is so at a random moment within this after its send.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(10),
          "How long to measure: 500ms, 10s, 5m. For each point of a sweep.");
ABSL_FLAG(int64_t, requests, 0, "Measure this many requests instead of a --duration. 0: go by --duration.");
ABSL_FLAG(absl::Duration, warmup, absl::Seconds(1), "Load before the measurement, which does not count.");
ABSL_FLAG(std::string, mix, "mission",
          "What to ask for. 'mission' (1,8,512,64 fp16), 'mixed' (one of everything: dtypes, layouts, GQA, causal, "
          "windows, soft cap), @file, or entries separated by ';'. An entry is B,H,S,D or B,Hq,Hkv,Sq,Skv,D, then any "
          "of: fp16 bf16 fp32 bhsd bshd causal lse window_left=N window_right=N soft_cap=X sm_scale=X "
          "priority=low|normal|high weight=X.");
ABSL_FLAG(std::string, priority, "normal", "Of the requests whose entry in the mix has none: low, normal or high.");
ABSL_FLAG(double, verify, 0,
          "Fraction of the answers, sampled at random, to check against the double-precision reference. The expected "
          "answers are computed before the load starts. A wrong answer makes the exit code 1. When answers come faster "
          "than they can be checked, a closed loop waits for the checks, and an open loop skips some.");
ABSL_FLAG(int, variants, 4, "Different random tensors for each entry of the mix, used at random.");
ABSL_FLAG(uint64_t, seed, 1, "Of the tensors and of every random choice. Printed with the results.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30), "Deadline of each request. 'inf': none.");
ABSL_FLAG(absl::Duration, wait_ready, absl::Seconds(10),
          "How long to wait until the server's health check says SERVING. 0: do not ask.");
ABSL_FLAG(absl::Duration, give_up_after, absl::Seconds(10),
          "End the run when requests fail and none has been answered for this long. 'inf': never.");
ABSL_FLAG(std::string, metrics, "",
          "The server's metrics address, host:port: scraped before and after each run, for the report's stages.");
ABSL_FLAG(std::string, json, "",
          "Also write the results as JSON to this file. '-': to standard output, and the table to standard error.");
ABSL_FLAG(std::string, csv, "", "Also write a line for each point as CSV to this file. '-': as for --json.");
ABSL_FLAG(std::string, html, "", "Also write a report with plots, one file that needs no other, to this file.");
ABSL_FLAG(double, max_errors, 0, "The fraction of requests that may fail before the exit code is 1.");
ABSL_FLAG(bool, allow_invalid, false,
          "Say that a run is invalid, but do not make it the exit code: for scripts that only want the server used.");

namespace flashcore {
namespace {

// Far above what one process can use; catches a slip of the finger.
constexpr int kMaxConcurrency = 100'000;
constexpr double kMaxRate = 10e6;
constexpr int kMaxSenders = 256;
constexpr int kMaxChannels = 1'000;
constexpr int kMaxVariants = 10'000;

constexpr int kSlotsPerChannel = 4;
constexpr int kMaxDefaultChannels = 8;
constexpr int kOpenLoopChannels = 4;
constexpr double kRatePerSender = 20'000;

absl::Status CheckRange(absl::string_view flag, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": must be from ", low, " to ", high));
}

absl::Status CheckAbove(absl::string_view flag, absl::Duration value, bool zero_allowed) {
  if (value > absl::ZeroDuration() || (zero_allowed && value == absl::ZeroDuration())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", absl::FormatDuration(value), ": must be ",
                                                 zero_allowed ? "at least 0" : "above 0", ", like 10s or 500ms"));
}

absl::Status CheckChoice(absl::string_view flag, absl::string_view value, absl::string_view a, absl::string_view b) {
  if (value == a || value == b) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": must be ", a, " or ", b));
}

absl::Status First(std::initializer_list<absl::Status> statuses) {
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckDurations() {
  return First({CheckAbove("duration", absl::GetFlag(FLAGS_duration), false),
                CheckAbove("warmup", absl::GetFlag(FLAGS_warmup), true),
                CheckAbove("timeout", absl::GetFlag(FLAGS_timeout), false),
                CheckAbove("wait_ready", absl::GetFlag(FLAGS_wait_ready), true),
                CheckAbove("give_up_after", absl::GetFlag(FLAGS_give_up_after), false),
                CheckAbove("search_p99", absl::GetFlag(FLAGS_search_p99), true),
                CheckAbove("slow_read", absl::GetFlag(FLAGS_slow_read), true),
                CheckAbove("cancel_within", absl::GetFlag(FLAGS_cancel_within), false)});
}

absl::Status CheckFlags() {
  if (absl::Status durations = CheckDurations(); !durations.ok()) return durations;
  if (absl::GetFlag(FLAGS_requests) < 0) return absl::InvalidArgumentError("--requests: must be at least 0");
  constexpr double kMaxResolution = 1;
  constexpr double kLeastResolution = 0.001;
  return First(
      {CheckRange("channels", absl::GetFlag(FLAGS_channels), 0, kMaxChannels),
       CheckRange("variants", absl::GetFlag(FLAGS_variants), 1, kMaxVariants),
       CheckRange("senders", absl::GetFlag(FLAGS_senders), 0, kMaxSenders),
       CheckRange("max_in_flight", absl::GetFlag(FLAGS_max_in_flight), 1, kMaxConcurrency),
       CheckRange("verify", absl::GetFlag(FLAGS_verify), 0, 1), CheckRange("cancel", absl::GetFlag(FLAGS_cancel), 0, 1),
       CheckRange("max_errors", absl::GetFlag(FLAGS_max_errors), 0, 1),
       CheckRange("search_from", absl::GetFlag(FLAGS_search_from), 1, kMaxRate),
       CheckRange("search_to", absl::GetFlag(FLAGS_search_to), 1, kMaxRate),
       CheckRange("search_resolution", absl::GetFlag(FLAGS_search_resolution), kLeastResolution, kMaxResolution),
       CheckChoice("mode", absl::GetFlag(FLAGS_mode), "unary", "stream"),
       CheckChoice("arrivals", absl::GetFlag(FLAGS_arrivals), "constant", "poisson")});
}

absl::StatusOr<std::vector<double>> ListFlag(absl::string_view name, const std::string& text, double low, double high) {
  absl::StatusOr<std::vector<double>> values = ParseNumberList(text);
  if (!values.ok()) return absl::InvalidArgumentError(absl::StrCat("--", name, ": ", values.status().message()));
  for (const double value : *values) {
    if (absl::Status in_range = CheckRange(name, value, low, high); !in_range.ok()) return in_range;
  }
  return values;
}

RunOptions CommonRun() {
  RunOptions run;
  run.arrivals = absl::GetFlag(FLAGS_arrivals) == "poisson" ? ArrivalKind::kPoisson : ArrivalKind::kConstant;
  run.max_in_flight = absl::GetFlag(FLAGS_max_in_flight);
  run.phases = {.warmup = absl::GetFlag(FLAGS_warmup),
                .requests = absl::GetFlag(FLAGS_requests),
                .duration = absl::GetFlag(FLAGS_duration),
                .give_up_after = absl::GetFlag(FLAGS_give_up_after)};
  run.verify_fraction = absl::GetFlag(FLAGS_verify);
  run.cancel_fraction = absl::GetFlag(FLAGS_cancel);
  run.cancel_within = absl::GetFlag(FLAGS_cancel_within);
  run.seed = absl::GetFlag(FLAGS_seed);
  return run;
}

RunOptions OpenLoopRun(double rate, double highest_rate) {
  RunOptions run = CommonRun();
  run.rate = rate;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int wanted = absl::GetFlag(FLAGS_senders);
  run.senders = wanted > 0 ? wanted : std::clamp(static_cast<int>(std::ceil(highest_rate / kRatePerSender)), 1, cores);
  run.senders = std::min(run.senders, run.max_in_flight);
  return run;
}

absl::StatusOr<std::vector<RunOptions>> RunsFromFlags() {
  const std::string rate = absl::GetFlag(FLAGS_rate);
  const std::string concurrency = absl::GetFlag(FLAGS_concurrency);
  const bool search = absl::GetFlag(FLAGS_search_p99) > absl::ZeroDuration();
  if (search && !rate.empty()) {
    return absl::InvalidArgumentError("--search_p99 chooses the rates; leave --rate out, and see --search_from");
  }
  if ((search || !rate.empty()) && concurrency != "1") {
    return absl::InvalidArgumentError("--concurrency is a closed loop's, and --rate or --search_p99 make an open one");
  }
  std::vector<RunOptions> runs;
  if (search) {
    runs.push_back(OpenLoopRun(absl::GetFlag(FLAGS_search_from), absl::GetFlag(FLAGS_search_to)));
  } else if (!rate.empty()) {
    constexpr double kLeastRate = 0.01;
    const absl::StatusOr<std::vector<double>> rates = ListFlag("rate", rate, kLeastRate, kMaxRate);
    if (!rates.ok()) return rates.status();
    for (const double value : *rates) runs.push_back(OpenLoopRun(value, value));
  } else {
    const absl::StatusOr<std::vector<double>> values = ListFlag("concurrency", concurrency, 1, kMaxConcurrency);
    if (!values.ok()) return values.status();
    for (const double value : *values) {
      runs.push_back(CommonRun());
      runs.back().concurrency = static_cast<int>(value);
    }
  }
  return runs;
}

int DefaultChannels(const std::vector<RunOptions>& runs) {
  if (runs.front().open_loop()) return kOpenLoopChannels;
  int concurrency = 1;
  for (const RunOptions& run : runs) concurrency = std::max(concurrency, run.concurrency);
  return std::min((concurrency + kSlotsPerChannel - 1) / kSlotsPerChannel, kMaxDefaultChannels);
}

}  // namespace

const absl::string_view kLoadSynopsis =
    "flashcore_load puts a FlashCore server under load, measures it, checks its answers, and says whether the\n"
    "measurement can be believed.\n\n"
    "  How fast is it? A closed loop, 16 requests at a time, one answer in a hundred checked:\n"
    "    flashcore_load --target=localhost:50051 --concurrency=16 --verify=0.01\n\n"
    "  What would users see at 500 requests a second? An open loop: latency counts from when a request was due.\n"
    "    flashcore_load --rate=500 --arrivals=poisson --duration=30s --metrics=localhost:9090 --html=report.html\n\n"
    "  How does latency grow with the rate? A sweep, with a line for each rate:\n"
    "    flashcore_load --rate=500:5000:+500 --duration=5s --csv=sweep.csv --html=sweep.html\n\n"
    "  How much can it take? The highest rate that keeps 99 % of all requests within 20 ms:\n"
    "    flashcore_load --search_p99=20ms --duration=5s\n\n"
    "  Does it stay right when clients misbehave? Many shapes, streams, slow readers, calls cancelled at random:\n"
    "    flashcore_load --mix=mixed --mode=stream --concurrency=64 --slow_read=5ms --cancel=0.01 --verify=0.1\n\n"
    "Latency is reported from the intended start and, for an open loop, from the send: only the first tells what a\n"
    "stalled server did to the requests that were due meanwhile.\n\n"
    "Exit code: 0 all is well, 1 errors or wrong answers, 2 wrong usage, 3 the run is invalid: the client was the "
    "limit\n"
    "(late sends, its CPU, or a machine too busy to wake it in time).";

absl::StatusOr<LoadOptions> LoadOptionsFromFlags() {
  if (absl::Status status = CheckFlags(); !status.ok()) return status;
  absl::StatusOr<ServerChoice> server = ServerFromFlags();
  if (!server.ok()) return server.status();
  const std::optional<Priority> priority = PriorityFromName(absl::GetFlag(FLAGS_priority));
  if (!priority.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--priority=", absl::GetFlag(FLAGS_priority), ": must be low, normal or high"));
  }
  absl::StatusOr<std::vector<RunOptions>> runs = RunsFromFlags();
  if (!runs.ok()) return runs.status();
  LoadOptions options{.server = *std::move(server),
                      .streaming = absl::GetFlag(FLAGS_mode) == "stream",
                      .channels = absl::GetFlag(FLAGS_channels),
                      .slow_read = absl::GetFlag(FLAGS_slow_read),
                      .mix_spec = absl::GetFlag(FLAGS_mix),
                      .mix = {},
                      .variants = absl::GetFlag(FLAGS_variants),
                      .timeout = absl::GetFlag(FLAGS_timeout),
                      .wait_ready = absl::GetFlag(FLAGS_wait_ready),
                      .metrics_address = absl::GetFlag(FLAGS_metrics),
                      .runs = *std::move(runs),
                      .search_p99 = absl::GetFlag(FLAGS_search_p99),
                      .search = {.first_rate = absl::GetFlag(FLAGS_search_from),
                                 .highest_rate = absl::GetFlag(FLAGS_search_to),
                                 .resolution = absl::GetFlag(FLAGS_search_resolution)},
                      .max_errors = absl::GetFlag(FLAGS_max_errors),
                      .allow_invalid = absl::GetFlag(FLAGS_allow_invalid),
                      .json_path = absl::GetFlag(FLAGS_json),
                      .csv_path = absl::GetFlag(FLAGS_csv),
                      .html_path = absl::GetFlag(FLAGS_html)};
  if (options.channels == 0) options.channels = DefaultChannels(options.runs);
  absl::StatusOr<std::vector<MixEntry>> mix = LoadMix(options.mix_spec);
  if (!mix.ok()) return absl::InvalidArgumentError(absl::StrCat("--mix: ", mix.status().message()));
  options.mix = *std::move(mix);
  for (MixEntry& entry : options.mix) entry.priority = entry.priority.value_or(*priority);
  return options;
}

}  // namespace flashcore
