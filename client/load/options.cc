#include "client/load/options.h"

#include <algorithm>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server: host:port, or unix:/path/to/socket.");
ABSL_FLAG(int, concurrency, 1, "Requests under way at any time: each is followed by the next when it is answered.");
ABSL_FLAG(int, channels, 0,
          "Connections that share the requests. One carries about 1 GB/s. 0: one for every 4 of --concurrency, "
          "8 at most.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(10), "How long to measure: 500ms, 10s, 5m.");
ABSL_FLAG(int64_t, requests, 0, "Measure this many requests instead of a --duration. 0: go by --duration.");
ABSL_FLAG(absl::Duration, warmup, absl::Seconds(1), "Load before the measurement, which does not count.");
ABSL_FLAG(std::string, mix, "mission",
          "What to ask for. 'mission' (1,8,512,64 fp16), 'mixed' (one of everything: dtypes, layouts, GQA, causal, "
          "windows, soft cap), @file, or entries separated by ';'. An entry is B,H,S,D or B,Hq,Hkv,Sq,Skv,D, then any "
          "of: fp16 bf16 fp32 bhsd bshd causal lse window_left=N window_right=N soft_cap=X sm_scale=X weight=X.");
ABSL_FLAG(double, verify, 0,
          "Fraction of the answers, sampled at random, to check against the double-precision reference. The expected "
          "answers are computed before the load starts. A wrong answer makes the exit code 1. When answers come faster "
          "than they can be checked, the load waits for the checks: latencies stay true, req/s does not.");
ABSL_FLAG(int, variants, 4, "Different random tensors for each entry of the mix, used at random.");
ABSL_FLAG(uint64_t, seed, 1, "Of the tensors and of every random choice. Printed with the results.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30), "Deadline of each request. 'inf': none.");
ABSL_FLAG(absl::Duration, wait_ready, absl::Seconds(10),
          "How long to wait until the server's health check says SERVING. 0: do not ask.");
ABSL_FLAG(absl::Duration, give_up_after, absl::Seconds(10),
          "End the run when requests fail and none has been answered for this long. 'inf': never.");
ABSL_FLAG(std::string, json, "",
          "Also write the results as JSON to this file. '-': to standard output, and the table to standard error.");

namespace flashcore {
namespace {

// Far above what one process can use; catches a slip of the finger.
constexpr int kMaxConcurrency = 100'000;
constexpr int kMaxChannels = 1'000;
constexpr int kMaxVariants = 10'000;
constexpr int kSlotsPerChannel = 4;
constexpr int kMaxDefaultChannels = 8;

absl::Status CheckRange(absl::string_view flag, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": must be from ", low, " to ", high));
}

absl::Status CheckAbove(absl::string_view flag, absl::Duration value, bool zero_allowed) {
  if (value > absl::ZeroDuration() || (zero_allowed && value == absl::ZeroDuration())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", absl::FormatDuration(value), ": must be ",
                                                 zero_allowed ? "at least 0" : "above 0", ", like 10s or 500ms"));
}

absl::Status CheckFlags() {
  for (const absl::Status& status : {CheckRange("concurrency", absl::GetFlag(FLAGS_concurrency), 1, kMaxConcurrency),
                                     CheckRange("channels", absl::GetFlag(FLAGS_channels), 0, kMaxChannels),
                                     CheckRange("variants", absl::GetFlag(FLAGS_variants), 1, kMaxVariants),
                                     CheckAbove("duration", absl::GetFlag(FLAGS_duration), false),
                                     CheckAbove("warmup", absl::GetFlag(FLAGS_warmup), true),
                                     CheckAbove("timeout", absl::GetFlag(FLAGS_timeout), false),
                                     CheckAbove("wait_ready", absl::GetFlag(FLAGS_wait_ready), true),
                                     CheckAbove("give_up_after", absl::GetFlag(FLAGS_give_up_after), false)}) {
    if (!status.ok()) return status;
  }
  if (absl::GetFlag(FLAGS_target).empty()) {
    return absl::InvalidArgumentError("--target: is empty; give host:port or unix:/path/to/socket");
  }
  if (absl::GetFlag(FLAGS_requests) < 0) return absl::InvalidArgumentError("--requests: must be at least 0");
  if (const double fraction = absl::GetFlag(FLAGS_verify); !(fraction >= 0 && fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--verify=", fraction, ": must be from 0 (nothing) to 1 (every answer)"));
  }
  return absl::OkStatus();
}

}  // namespace

const absl::string_view kLoadSynopsis =
    "flashcore_load keeps a FlashCore server busy, measures it, and checks its answers.\n\n"
    "  flashcore_load --target=localhost:50051 --concurrency=16 --verify=0.01\n"
    "  flashcore_load --mix=mixed --requests=500 --verify=1\n"
    "  flashcore_load --mix='1,32,8,1,4096,128 bf16 causal; 1,8,512,64 weight=4' --json=run.json\n\n"
    "Exit code: 0 all is well, 1 errors or wrong answers, 2 wrong usage.";

absl::StatusOr<LoadOptions> LoadOptionsFromFlags() {
  if (absl::Status status = CheckFlags(); !status.ok()) return status;
  LoadOptions options{.target = absl::GetFlag(FLAGS_target),
                      .channels = absl::GetFlag(FLAGS_channels),
                      .mix_spec = absl::GetFlag(FLAGS_mix),
                      .mix = {},
                      .variants = absl::GetFlag(FLAGS_variants),
                      .timeout = absl::GetFlag(FLAGS_timeout),
                      .wait_ready = absl::GetFlag(FLAGS_wait_ready),
                      .json_path = absl::GetFlag(FLAGS_json),
                      .run = {.concurrency = absl::GetFlag(FLAGS_concurrency),
                              .warmup = absl::GetFlag(FLAGS_warmup),
                              .requests = absl::GetFlag(FLAGS_requests),
                              .duration = absl::GetFlag(FLAGS_duration),
                              .give_up_after = absl::GetFlag(FLAGS_give_up_after),
                              .verify_fraction = absl::GetFlag(FLAGS_verify),
                              .seed = absl::GetFlag(FLAGS_seed)}};
  if (options.channels == 0) {
    options.channels =
        std::min((options.run.concurrency + kSlotsPerChannel - 1) / kSlotsPerChannel, kMaxDefaultChannels);
  }
  absl::StatusOr<std::vector<MixEntry>> mix = LoadMix(options.mix_spec);
  if (!mix.ok()) return absl::InvalidArgumentError(absl::StrCat("--mix: ", mix.status().message()));
  options.mix = *std::move(mix);
  return options;
}

}  // namespace flashcore
