#include "client/load/html_report.h"

#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/load/html_charts.h"
#include "client/load/html_style.h"
#include "client/load/svg_chart.h"

namespace flashcore {
namespace {

constexpr double kPercent = 100;

void AppendVerdict(const LoadReport& report, std::string& out) {
  const PointReport& point = report.point();
  std::vector<std::string> reasons = point.validity.reasons;
  std::string title = "Valid: the client was not the limit";
  bool fine = true;
  if (!IsValid(report)) {
    title = "Invalid: the client was the limit";
    fine = false;
    if (reasons.empty()) reasons.emplace_back("at another point than the one shown in full; see the table of points");
  } else if (!IsGood(report)) {
    title = "Valid, and the server did not do well";
    fine = false;
    if (point.result.stats.failed() > 0) {
      reasons.push_back(absl::StrCat(Grouped(point.result.stats.failed()), " requests failed"));
    }
    if (point.verified.wrong > 0) reasons.push_back(absl::StrCat(Grouped(point.verified.wrong), " wrong answers"));
    if (point.result.gave_up) reasons.emplace_back("nothing was answered any more, so the run was given up");
  }
  absl::StrAppend(&out, R"(<div class="verdict )", fine ? "good" : "bad", R"("><strong>)", title, "</strong>");
  if (report.search.has_value()) absl::StrAppend(&out, HtmlEscape(DescribeSearch(report)));
  if (!reasons.empty()) {
    out += "<ul>";
    for (const std::string& reason : reasons) absl::StrAppend(&out, "<li>", HtmlEscape(reason), "</li>");
    out += "</ul>";
  }
  out += "</div>";
  if (point.validity.notes.empty()) return;
  out += R"(<div class="notes"><ul>)";
  for (const std::string& note : point.validity.notes) absl::StrAppend(&out, "<li>", HtmlEscape(note), "</li>");
  out += "</ul></div>";
}

void AppendTile(const std::string& name, const std::string& value, const std::string& unit, const std::string& detail,
                std::string& out) {
  absl::StrAppend(&out, R"(<div class="tile"><span>)", name, "</span><b>", value, "<small>", unit, "</small></b><em>",
                  HtmlEscape(detail), "</em></div>");
}

void AppendTiles(const PointReport& point, std::string& out) {
  const CallStats& stats = point.result.stats;
  out += R"(<div class="tiles">)";
  AppendTile("answered", ShortNumber(AnsweredPerSecond(point)), "/s",
             point.run.open_loop() ? absl::StrCat("of ", ShortNumber(point.run.rate), "/s asked for")
                                   : absl::StrCat(Grouped(stats.answered()), " in all"),
             out);
  AppendTile("p50", ShortNumber(QuantileMs(stats.latency, 0.5)), "ms", "half of all requests", out);
  AppendTile("p99", ShortNumber(QuantileMs(stats.latency, 0.99)), "ms", "99 of 100 requests", out);
  AppendTile("p99.9", ShortNumber(QuantileMs(stats.latency, 0.999)), "ms", "999 of 1,000 requests", out);
  const double share = stats.ended() > 0 ? static_cast<double>(stats.failed()) / static_cast<double>(stats.ended()) : 0;
  AppendTile("failed", absl::StrFormat("%.3g", share * kPercent), "%",
             absl::StrCat(Grouped(stats.failed()), " of ", Grouped(stats.ended())), out);
  AppendTile(
      "compute", ShortNumber(PerSecond(point, stats.flops) / kGiga), "GFLOP/s",
      absl::StrFormat("batches of %.1f on average", PerAnswer(point, static_cast<double>(stats.server.batch_size))),
      out);
  out += "</div>";
}

void AppendSection(const std::string& title, const std::string& sub, const std::string& body, std::string& out) {
  absl::StrAppend(&out, "<section><h2>", title, R"(</h2><p class="sub">)", sub, "</p>", body, "</section>");
}

std::string LatencyTable(const PointReport& point) {
  const CallStats& stats = point.result.stats;
  std::string out = R"(<div class="wide"><table><tr><th>ms</th><th>mean</th>)";
  for (const NamedQuantile& q : kQuantiles) absl::StrAppend(&out, "<th>", q.name, "</th>");
  out += "<th>max</th></tr>";
  const auto row = [&out](const char* name, const Histogram& histogram) {
    absl::StrAppend(&out, "<tr><td>", name, "</td><td>", ShortNumber(histogram.mean() / kNsPerMs), "</td>");
    for (const NamedQuantile& q : kQuantiles) {
      absl::StrAppend(&out, "<td>", ShortNumber(QuantileMs(histogram, q.quantile)), "</td>");
    }
    absl::StrAppend(&out, "<td>", ShortNumber(static_cast<double>(histogram.max()) / kNsPerMs), "</td></tr>");
  };
  if (point.run.open_loop()) {
    row("from the intended start", stats.latency);
    row("from the send", stats.send_latency);
    row("send delay by the client", stats.send_delay);
  } else {
    row("seen by the client", stats.latency);
  }
  row("at the server", stats.server_total);
  return out + "</table></div>";
}

std::string PointsTable(const LoadReport& report) {
  std::string out =
      absl::StrCat(R"(<div class="wide"><table><tr><th>)", VariableName(report.points[0].run),
                   "</th><th>answered/s</th><th>p50 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>failed</th>"
                   "<th>held back</th><th>unsent</th><th>batch</th><th>client cores</th><th></th></tr>");
  for (const PointReport& point : report.points) {
    const CallStats& stats = point.result.stats;
    absl::StrAppend(&out, &point == &report.point() ? R"(<tr class="main"><td>)" : "<tr><td>",
                    ShortNumber(VariableValue(point.run)), "</td><td>", ShortNumber(AnsweredPerSecond(point)));
    for (const double quantile : {0.5, 0.99, 0.999}) {
      absl::StrAppend(&out, "</td><td>", ShortNumber(QuantileMs(stats.latency, quantile)));
    }
    absl::StrAppend(&out, "</td><td>", Grouped(stats.failed()), "</td><td>", Grouped(stats.held_back), "</td><td>",
                    Grouped(point.result.unsent));
    absl::StrAppendFormat(
        &out, "</td><td>%.1f</td><td>%.2f</td>%s</tr>", PerAnswer(point, static_cast<double>(stats.server.batch_size)),
        point.result.client.cores_used(), point.validity.valid() ? "<td></td>" : R"(<td class="bad">invalid</td>)");
  }
  return out + "</table></div>";
}

std::string ErrorTableHtml(const PointReport& point) {
  const CallStats& stats = point.result.stats;
  if (stats.failed() == 0) return R"(<p class="sub">No request failed.</p>)";
  std::string out = R"(<div class="wide"><table><tr><th>code</th><th>count</th><th>share</th><th>first after</th>)"
                    R"(<th class="text">what it means</th><th class="text">the first message</th></tr>)";
  for (const ErrorKind& kind : stats.errors.Kinds()) {
    absl::StrAppendFormat(&out,
                          R"(<tr><td>%s</td><td>%s</td><td>%.2f %%</td><td>%.1f s</td><td class="text">%s</td><td )"
                          R"(class="text">%s</td></tr>)",
                          absl::StatusCodeToString(kind.code), Grouped(kind.count),
                          static_cast<double>(kind.count) / static_cast<double>(stats.ended()) * kPercent,
                          static_cast<double>(kind.first_offset_ns) / kGiga, Meaning(kind.code),
                          HtmlEscape(kind.first_message));
  }
  return out + "</table></div>";
}

void AppendFact(const std::string& name, const std::string& value, std::string& out) {
  absl::StrAppend(&out, "<dt>", name, "</dt><dd>", HtmlEscape(value), "</dd>");
}

std::string Facts(const LoadReport& report) {
  const PointReport& point = report.point();
  const RunPhases& phases = point.run.phases;
  const ClientUse& use = point.result.client;
  std::string out = "<dl>";
  AppendFact("server",
             absl::StrCat(report.options.server.target, ", ", report.server.backend, " on ", report.server.device,
                          ", kernel ", point.result.stats.kernel, ", version ", report.server.version),
             out);
  AppendFact("load",
             absl::StrCat(DescribeLoop(point.run), ", ", report.options.streaming ? "streams" : "unary calls", ", ",
                          report.options.channels, " channels, seed ", point.run.seed),
             out);
  AppendFact("mix", report.options.mix_spec, out);
  AppendFact("measured",
             absl::StrCat(absl::FormatDuration(absl::Trunc(point.result.elapsed, absl::Milliseconds(1))), " after ",
                          absl::FormatDuration(phases.warmup), " of warm-up"),
             out);
  if (point.run.open_loop()) {
    AppendFact("sends",
               absl::StrCat(Grouped(point.result.stats.late), " late by more than 1 ms, ",
                            Grouped(point.result.stats.held_back), " held back, ", Grouped(point.result.unsent),
                            " never sent"),
               out);
  }
  const VerifierTotals& verified = point.verified;
  AppendFact("verified",
             verified.checked == 0 ? "nothing (--verify)"
                                   : absl::StrFormat("%s answers, %s wrong, max error %.2e (%.0f %% of its tolerance)",
                                                     Grouped(verified.checked), Grouped(verified.wrong),
                                                     verified.max_error, verified.max_share * kPercent),
             out);
  if (point.result.stats.cancelled > 0) {
    AppendFact("cancelled", absl::StrCat(Grouped(point.result.stats.cancelled), " requests, on purpose"), out);
  }
  AppendFact("client",
             absl::StrFormat("%.2f of %d cores, busiest thread %.0f %%, wake-up delay p99 %s ms, memory %+.1f MiB",
                             use.cores_used(), use.cores, use.busiest_thread() * kPercent,
                             ShortNumber(QuantileMs(use.wake_delay, 0.99)),
                             static_cast<double>(use.memory_growth_bytes) / kMiB),
             out);
  if (!point.metrics.ok()) AppendFact("/metrics", std::string(point.metrics.status().message()), out);
  return out + "</dl>";
}

std::string WaterfallSub(const PointReport& point) {
  if (point.metrics.ok() && !point.metrics->stages.empty()) {
    return absl::StrCat("Means over ", Grouped(point.metrics->request.count),
                        " requests, from the server&#39;s /metrics before and after the run. Orange is waiting.");
  }
  return "Means, from the answers&#39; own timing. Orange is waiting. With --metrics it has the send, and 99th "
         "percentiles.";
}

void AppendSweep(const LoadReport& report, std::string& out) {
  if (report.points.size() < 2) return;
  out += R"(<div class="grid2">)";
  AppendSection("Latency of each point", "From the intended start. Look for the knee.", SweepLatencyChart(report), out);
  AppendSection("Throughput of each point", "A server that keeps up answers what is asked for.",
                SweepThroughputChart(report), out);
  out += "</div>";
  AppendSection("Points", "In the order measured. The bold one is shown in full below.", PointsTable(report), out);
}

}  // namespace

std::string ToHtml(const LoadReport& report) {
  const PointReport& point = report.point();
  std::string out = absl::StrCat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      R"(<meta name="viewport" content="width=device-width, initial-scale=1"><title>FlashCore load )"
      "report</title><style>",
      kHtmlStyle, "</style></head><body><main><header><h1>FlashCore load report</h1><p>",
      HtmlEscape(absl::StrCat(report.server.backend, " on ", report.server.device, ", ", DescribeLoop(point.run), ", ",
                              absl::FormatTime("%Y-%m-%d %H:%M UTC", report.started, absl::UTCTimeZone()))),
      "</p></header>");
  AppendVerdict(report, out);
  AppendTiles(point, out);
  AppendSweep(report, out);
  if (point.result.stats.answered() > 0) {
    out += R"(<div class="grid2">)";
    AppendSection("Latency by percentile", "Each further 9 is as far from the last. A tail shows at the right.",
                  PercentileChart(point), out);
    AppendSection("Where the time goes", WaterfallSub(point), StageWaterfall(point), out);
    AppendSection("Latency over time", "By when requests were due.", TimelineChart(point), out);
    AppendSection("Throughput over time", "Requests that were due in each interval and were answered.",
                  ThroughputChart(point), out);
    out += "</div>";
    AppendSection("Latencies", "Within 0.05 % of the true value.", LatencyTable(point), out);
  }
  AppendSection("Errors", "By code and kind of message.", ErrorTableHtml(point), out);
  AppendSection("The run", "What was asked, of whom, and what it cost the client.", Facts(report), out);
  return out + "<footer>Made by flashcore_load.</footer></main></body></html>\n";
}

}  // namespace flashcore
