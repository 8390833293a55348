// The status page in a real browser, if one is installed: that it draws the numbers of a server that is busy.
#include "server/telemetry/status_page.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/collectable.h"
#include "server/telemetry/gpu/gpu_telemetry.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/metrics_server.h"
#include "server/telemetry/process_metrics.h"

namespace flashcore {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// The page's own time, which runs ahead while it waits: several of its polls.
constexpr int kPageMs = 5000;

// What a command prints.
std::string Output(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  if (pipe == nullptr) return output;
  std::array<char, 4096> chunk;
  for (size_t got = 0; (got = fread(chunk.data(), 1, chunk.size(), pipe)) > 0;) output.append(chunk.data(), got);
  pclose(pipe);
  return output;
}

// Empty if there is none.
std::string FindBrowser() {
  for (const char* name : {"chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"}) {
    std::string path = Output(absl::StrCat("command -v ", name));
    if (!path.empty()) return path.substr(0, path.find('\n'));
  }
  return "";
}

// Does some work whenever it is asked, so that any two scrapes differ. Has no series of its own.
class WorkPerScrape : public prometheus::Collectable {
 public:
  explicit WorkPerScrape(Metrics& metrics) : metrics_(metrics) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    CallRecord call;
    call.total_ns = 3'000'000;
    call.bytes_in = 1 << 20;
    call.bytes_out = 1 << 19;
    call.stages[Stage::kCompute] = 2'000'000;
    for (int i = 0; i < 10; ++i) metrics_.RecordCall(call);
    metrics_.RecordBatch({.requests = 10, .bytes = 15 << 20, .flops = 1e9});
    metrics_.RecordRejection(Rejection::kQueueFull);
    return {};
  }

 private:
  Metrics& metrics_;
};

class OneGpu : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    GpuSnapshot snapshot;
    snapshot.counters = {.tensor_ratio = 0.63, .sm_ratio = 0.91, .dram_ratio = {}};
    snapshot.source = "cupti";
    snapshot.device.power_watts = 67.5;
    snapshot.device.power_limit_watts = 72;
    return GpuFamilies({snapshot});
  }
};

class StatusPageTest : public testing::Test {
 protected:
  void SetUp() override {
    browser_ = FindBrowser();
    if (browser_.empty()) GTEST_SKIP() << "no browser here: chromium, chromium-headless-shell or google-chrome";
    profile_ = absl::StrCat(testing::TempDir(), "flashcore-browser-", getpid());
  }
  void TearDown() override {
    std::error_code ignored;
    if (!profile_.empty()) std::filesystem::remove_all(profile_, ignored);
  }

  // The document after the page has run for a while, as HTML.
  std::string Document(int port) const {
    return Output(absl::StrCat(browser_, " --headless --no-sandbox --disable-gpu --user-data-dir='", profile_,
                               "' --virtual-time-budget=", kPageMs, " --dump-dom http://127.0.0.1:", port, "/ 2>&1"));
  }

  std::string browser_;
  std::string profile_;
};

TEST_F(StatusPageTest, DrawsTheNumbersOfABusyServer) {
  Metrics metrics({.version = "1.2.3",
                   .backend = "cuda",
                   .device = "Some <b>GPU</b>",
                   .kernel = "cuda/fused",
                   .max_queue_length = 1000,
                   .max_bytes_in_flight = 1 << 30,
                   .max_message_bytes = 1,
                   .max_batch_requests = 1,
                   .max_batch_bytes = 1,
                   .max_batch_flops = 1,
                   .lanes = 3});
  metrics.AddLanesBusy(2);
  auto state = std::make_shared<ServingState>();
  state->Set(ServingPhase::kServing);
  auto server = MetricsServer::Start("127.0.0.1:0",
                                     {std::make_shared<WorkPerScrape>(metrics), metrics.collectable(),
                                      std::make_shared<OneGpu>(), CreateProcessMetrics()},
                                     state);
  ASSERT_TRUE(server.ok()) << server.status();
  // Less the script, which names everything.
  const std::string document = Document((*server)->port());
  const std::string page = document.substr(0, document.find("<script>"));

  EXPECT_THAT(page, ContainsRegex("data-scrapes=\"[0-9]+\""));
  EXPECT_THAT(page, ContainsRegex("id=\"phase\"[^>]*>serving<"));
  // A name is text, whatever it holds.
  EXPECT_THAT(page, HasSubstr("1.2.3 · Some &lt;b&gt;GPU&lt;/b&gt; · cuda/fused"));
  EXPECT_THAT(page,
              ContainsRegex("data-tile=\"rate\"><h2>Requests</h2><div class=\"big\">[0-9.,]*[1-9][0-9.,]*<small>"));
  EXPECT_THAT(page, HasSubstr("0.0 % failed on our side"));
  // Half of the bucket from 2 to 3 ms.
  EXPECT_THAT(page, HasSubstr("data-tile=\"latency\"><h2>Latency, median</h2><div class=\"big\">2.5<small> ms"));
  EXPECT_THAT(page, HasSubstr("10 requests in a batch"));
  EXPECT_THAT(page, HasSubstr("GPU: tensor cores</h2><div class=\"big\">63<small> %</small></div>"
                              "<div class=\"note\">source: cupti</div>"));
  EXPECT_THAT(page, Not(HasSubstr("memory bandwidth")));
  EXPECT_THAT(page, HasSubstr("67.5<small> W</small></div><div class=\"note\">of 72 W"));
  EXPECT_THAT(page, HasSubstr("<td>compute</td><td>2 ms</td>"));
  EXPECT_THAT(page, HasSubstr("<td>lanes busy</td><td>2 of 3</td>"));
  EXPECT_THAT(page, ContainsRegex("<td>queue_full</td><td>[1-9]"));
  EXPECT_THAT(page, Not(ContainsRegex("NaN|undefined|Infinity")));
}

}  // namespace
}  // namespace flashcore
