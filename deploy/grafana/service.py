"""Panels about requests: whether it is well, rate, errors and durations, stages, batches, capacity."""

from grafana import GREEN, GREY, RED, YELLOW, bars, bound, heatmap, lines, query, row, stat, steps, table, timeline
import runbook

SELECTED = 'instance=~"$instance"'
# What attends, without GetServerInfo, which computes nothing.
ATTEND = f'method=~"Attend|AttendStream", {SELECTED}'
RATE = "[$__rate_interval]"
STAGES = ("receive", "admit", "stage", "queue", "upload", "compute", "download", "send")

PHASES = {0: ("starting", GREY), 1: ("serving", GREEN), 2: ("draining", YELLOW), 3: ("failed", RED)}


def quantiles(metric, selector):
    return [query(f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{selector}}}{RATE})))", f"p{q * 100:g}")
            for q in (0.5, 0.95, 0.99)]


def mean(metric, selector=SELECTED):
    return f"sum(rate({metric}_sum{{{selector}}}{RATE})) / sum(rate({metric}_count{{{selector}}}{RATE}))"


def burn(title, share, objective, promise):
    """How fast an objective's error budget burns."""
    return stat(f"{title}: burn rate", f"{promise} Budget burnt in the last hour, by the rate that uses it up in 30 days: "
                "from 1 the promise is being broken, at 14.4 someone is paged.", 3, "suffix: x",
                query(f"{share} / (1 - scalar({objective}))", "{{job}}"),
                thresholds=steps((None, GREEN), (1, YELLOW), (6, RED)), decimals=2)


def budget_left():
    failed, slow, total = (f"sum by (job) (increase(instance:flashcore_slo_{what}:total[30d]))"
                           for what in ("failed_requests", "slow_requests", "requests"))
    return stat("Error budgets left", "Of the 30 days' allowance of failed and of slow requests; below 0 the promise is "
                "broken.", 4, "percentunit",
                query(f"1 - {failed} / {total} / (1 - scalar(flashcore_slo_availability:objective))", "availability"),
                query(f"1 - {slow} / {total} / (1 - scalar(flashcore_slo_latency:objective))", "latency"),
                thresholds=steps((None, RED), (0, YELLOW), (0.25, GREEN)), decimals=1)


def well():
    return [
        row("Is it well?"),
        stat("Servers", "Servers that Prometheus can scrape, and those that it knows.", 3, "none",
             query(f'sum(up{{job="flashcore", {SELECTED}}})', "up"),
             query(f'count(up{{job="flashcore", {SELECTED}}})', "known")),
        stat("Requests", "Requests answered per second, errors included.", 3, "reqps",
             query(f"sum(rate(flashcore_requests_total{{{SELECTED}}}{RATE}))", "requests"), decimals=1),
        burn("Availability", "job:flashcore_slo_failed:ratio_rate1h", "flashcore_slo_availability:objective",
             "99.9 % of requests do not fail through the server's fault."),
        burn("Latency", "job:flashcore_slo_slow:ratio_rate1h", "flashcore_slo_latency:objective",
             "99 % of requests are answered within the promised time."),
        budget_left(),
        stat("p99 latency", "From a request's last byte in to its answer's last byte out. The promise is about 99 %, so "
             "this is to stay below its bound, shown beside it.", 4, "s",
             quantiles("flashcore_request_duration_seconds", ATTEND)[-1],
             query("flashcore_slo_latency:threshold_seconds", "bound")),
        stat("Refused", "Requests turned away for want of capacity, as a share of all.", 4, "percentunit",
             query(f"max(instance:flashcore_refused:ratio_rate5m{{{SELECTED}}})", "worst instance"),
             thresholds=steps((None, GREEN), (0.001, YELLOW), (0.01, RED)), decimals=2),
        timeline("Phase", "Draining: it refuses new calls and finishes accepted ones. Failed: the device did.", 9, PHASES,
                 query(" + ".join(f'{number} * sum by (instance) (flashcore_serving_phase{{phase="{name}", {SELECTED}}})'
                                  for number, (name, _) in PHASES.items()), "{{instance}}")),
        table("Alerts", "Alerts that fire, or are about to. A click leads to the runbook.", 15,
              f'ALERTS{{alertname=~"Flashcore.+", {SELECTED.replace("$instance", "|$instance")}}}', hidden=["Value"],
              links=[{"title": "Runbook", "url": runbook.URL, "targetBlank": True}]),
    ]


def red():
    total = f"scalar(sum(rate(flashcore_requests_total{{{SELECTED}}}{RATE})))"
    return [
        row("Rate, errors, durations"),
        lines("Rate", "Requests answered per second by method; each request of a stream counts.", 8, "reqps",
              query(f"sum by (method) (rate(flashcore_requests_total{{{SELECTED}}}{RATE}))", "{{method}}")),
        lines("Errors", "Share of requests by code, and the share that the promise counts: failures through the server's "
              "fault. INVALID_ARGUMENT, UNIMPLEMENTED and CANCELLED are the clients' own.", 8, "percentunit",
              query(f'sum by (code) (rate(flashcore_requests_total{{code!="OK", {SELECTED}}}{RATE})) / {total} > 0',
                    "{{code}}"),
              query("job:flashcore_slo_failed:ratio_rate5m", "failed, {{job}}"),
              bound("1 - flashcore_slo_availability:objective", "promise")),
        lines("Duration", "From a request's last byte in to its answer's last byte out, whatever the code.", 8, "s",
              *quantiles("flashcore_request_duration_seconds", ATTEND),
              bound("flashcore_slo_latency:threshold_seconds", "promise for 99 %")),
        lines("Slow requests", "Share of requests that took longer than promised, over 5 minutes.", 8, "percentunit",
              query("job:flashcore_slo_slow:ratio_rate5m", "slow, {{job}}"),
              bound("1 - flashcore_slo_latency:objective", "promise")),
        lines("p99 by instance", "One bad server among good ones shows here.", 8, "s",
              query("histogram_quantile(0.99, sum by (instance, le) "
                    f"(rate(flashcore_request_duration_seconds_bucket{{{ATTEND}}}{RATE})))", "{{instance}}"),
              bound("flashcore_slo_latency:threshold_seconds", "promise for 99 %")),
        heatmap("Durations", "How many requests took how long.", 8, "s",
                f"sum by (le) (increase(flashcore_request_duration_seconds_bucket{{{ATTEND}}}{RATE}))"),
    ]


def mean_of_stage(stage):
    """Seconds that a request spends in it, over all requests: so that the stages add up to the whole."""
    return query(f'sum(rate(flashcore_stage_duration_seconds_sum{{stage="{stage}", {SELECTED}}}{RATE})) '
                 f"/ sum(rate(flashcore_request_duration_seconds_count{{{ATTEND}}}{RATE}))", stage)


def stages():
    counted = f"sum(rate(flashcore_stage_duration_seconds_sum{{{SELECTED}}}{RATE}))"
    whole = f"sum(rate(flashcore_request_duration_seconds_sum{{{ATTEND}}}{RATE}))"
    compute = f'stage="compute", {SELECTED}'
    return [
        row("Where a request's time goes"),
        lines("Stages", "Mean time of a request in each stage, stacked in the order of its way through the server. Upload, "
              "compute and download are its batch's. The CPU backend has no upload and download.", 10, "s",
              *map(mean_of_stage, STAGES), stacked=True),
        bars("Waterfall now", "The same now, from the top down as a request goes.", 6, "s", *map(mean_of_stage, STAGES)),
        lines("p99 by stage", "A stage whose p99 is far above its mean is where the slow requests wait.", 8, "s",
              query("histogram_quantile(0.99, sum by (stage, le) "
                    f"(rate(flashcore_stage_duration_seconds_bucket{{{SELECTED}}}{RATE})))", "{{stage}}")),
        heatmap("Compute", "How long batches computed, counted once for each of their requests.", 12, "s",
                f"sum by (le) (increase(flashcore_stage_duration_seconds_bucket{{{compute}}}{RATE}))"),
        lines("Time in no stage", "Share of the requests' time that no stage accounts for. Above 5 % the picture above "
              "leaves something out.", 12, "percentunit", query(f"1 - {counted} / {whole}", "in no stage"), min=None),
    ]


def batching():
    return [
        row("Batching and queue"),
        lines("Queue", "Accepted requests that wait for a lane, by priority. Low priorities may take half of the places.", 8,
              "short", query(f"sum by (priority) (flashcore_priority_queue_length{{{SELECTED}}})", "{{priority}}"),
              query(f"sum(flashcore_queue_length{{{SELECTED}}})", "all"),
              bound(f"sum(flashcore_max_queue_length{{{SELECTED}}})", "places")),
        lines("Time in the queue", "Waiting for a lane. This grows first when load exceeds what the device computes.", 8, "s",
              *quantiles("flashcore_stage_duration_seconds", f'stage="queue", {SELECTED}')),
        lines("Lanes", "Batches in progress at once. All lanes busy and a device that is not: transfers are the limit.", 8,
              "short", query(f"sum(flashcore_lanes_busy{{{SELECTED}}})", "busy"),
              bound(f"sum(flashcore_lanes{{{SELECTED}}})", "lanes")),
        lines("Requests in a batch", "1 means that batching gains nothing, which is right while the device keeps up.", 8,
              "short", query(mean("flashcore_batch_requests"), "mean"),
              *quantiles("flashcore_batch_requests", SELECTED)[1:],
              bound(f"max(flashcore_max_batch_requests{{{SELECTED}}})", "most")),
        lines("Bytes in a batch", "Tensor bytes in and out.", 8, "bytes", query(mean("flashcore_batch_bytes"), "mean"),
              *quantiles("flashcore_batch_bytes", SELECTED)[1:],
              bound(f"max(flashcore_max_batch_bytes{{{SELECTED}}})", "most")),
        lines("Work in a batch", "Floating-point operations. It bounds how long a batch makes those behind it wait.", 8,
              "short", query(mean("flashcore_batch_flops"), "mean"), *quantiles("flashcore_batch_flops", SELECTED)[1:],
              bound(f"max(flashcore_max_batch_flops{{{SELECTED}}})", "most")),
        lines("Batches", "Batches computed per second, and how several devices share them.", 8, "ops",
              query(f"sum(rate(flashcore_batches_total{{{SELECTED}}}{RATE}))", "all"),
              query(f"sum by (instance, device) (rate(flashcore_device_batches_total{{{SELECTED}}}{RATE}))",
                    "{{instance}} device {{device}}")),
        lines("Kernel launches", "What really ran, per second, by kernel. More launches than batches: batches mix head_dims "
              "or types. cuda/scalar beside faster ones: requests that the tensor cores cannot take, such as fp32.", 8, "ops",
              query(f"sum by (kernel) (rate(flashcore_kernel_launches_total{{{SELECTED}}}{RATE}))", "{{kernel}}")),
        lines("Requests in progress", "Admitted and not yet finished.", 8, "short",
              query(f"flashcore_requests_in_flight{{{SELECTED}}}", "{{instance}}")),
    ]


def capacity():
    return [
        row("Capacity and refusals"),
        lines("Refusals", "Requests turned away before any compute, by reason. queue_full, memory_full and connection_share "
              "are want of capacity; invalid, unsupported and too_large are the clients'.", 8, "reqps",
              query(f"sum by (reason) (rate(flashcore_rejections_total{{{SELECTED}}}{RATE}))", "{{reason}}")),
        lines("How full", "The server refuses requests when either reaches 100 %.", 8, "percentunit",
              query(f"instance:flashcore_queue_filled:ratio{{{SELECTED}}}", "queue, {{instance}}"),
              query(f"instance:flashcore_staging_filled:ratio{{{SELECTED}}}", "staging memory, {{instance}}"), max=1),
        lines("Staging memory", "Tensor bytes of requests in progress and of answers that clients have not read yet.", 8,
              "bytes", query(f"sum by (instance) (flashcore_in_flight_bytes{{{SELECTED}}})", "{{instance}}"),
              bound(f"max(flashcore_max_in_flight_bytes{{{SELECTED}}})", "of each instance")),
        lines("Over the wire", "Tensor bytes. 1 GB/s is about what one connection carries.", 8, "Bps",
              query(f"sum(rate(flashcore_received_bytes_total{{{SELECTED}}}{RATE}))", "received"),
              query(f"sum(rate(flashcore_sent_bytes_total{{{SELECTED}}}{RATE}))", "sent")),
        lines("Refused for want of capacity", "As a share of all requests, over 5 minutes.", 8, "percentunit",
              query(f"instance:flashcore_refused:ratio_rate5m{{{SELECTED}}}", "{{instance}}")),
        stat("Largest message", "Larger requests end with RESOURCE_EXHAUSTED, from gRPC itself: those are in no series.", 8,
             "bytes", query(f"min(flashcore_max_message_bytes{{{SELECTED}}})", "bytes")),
    ]


def security():
    day = 24 * 3600
    return [
        row("Certificates and tokens"),
        stat("Certificates left", "Time until the first certificate of a file in use expires. Absent without TLS.", 6, "s",
             query(f"flashcore_tls_certificate_expiry_timestamp_seconds{{{SELECTED}}} - time()", "{{instance}} {{file}}"),
             thresholds=steps((None, RED), (7 * day, YELLOW), (14 * day, GREEN))),
        stat("Tokens", "Bearer tokens that are valid. Absent where callers need none.", 3, "none",
             query(f"flashcore_auth_tokens{{{SELECTED}}}", "{{instance}}")),
        lines("Callers without a valid token", "Calls per second that were UNAUTHENTICATED, by reason. unknown: a token was "
              "withdrawn too early, or someone guesses.", 8, "reqps",
              query(f"sum by (reason) (rate(flashcore_auth_failures_total{{{SELECTED}}}{RATE}))", "{{reason}}")),
        lines("Reloads", "Changes of the files of certificates and tokens that were taken, and those that were refused: then "
              "the old ones stay in use.", 7, "short",
              *(query(f"sum(increase(flashcore_{what}_{result}_total{{{SELECTED}}}{RATE}))",
                      f"{what} {result}".replace("_", " "))
                for what in ("tls", "auth") for result in ("reloads", "reload_failures"))),
    ]


def process():
    own = f'job="flashcore", {SELECTED}'
    return [
        row("Processes"),
        lines("Memory", "Of the process, in RAM. It grows to a plateau under load; staging memory is part of it.", 6, "bytes",
              query(f"process_resident_memory_bytes{{{own}}}", "{{instance}}")),
        lines("CPU", "Cores used. With a GPU they do the wire's work: all of them busy is wire-bound for want of CPU.", 6,
              "short", query(f"rate(process_cpu_seconds_total{{{own}}}{RATE})", "{{instance}}")),
        lines("File descriptors", "One for each connection, and some more.", 6, "short",
              query(f"process_open_fds{{{own}}}", "{{instance}}"), bound(f"min(process_max_fds{{{own}}})", "most")),
        lines("Threads", "Constant while serving, but for gRPC's pool.", 6, "short",
              query(f"process_threads{{{own}}}", "{{instance}}")),
        lines("Up since", "Time since the process started. A saw-tooth is a server that fails again and again.", 8, "s",
              query(f"time() - process_start_time_seconds{{{own}}}", "{{instance}}")),
        table("What runs", "Version, backend, device and kernel of each server.", 16, f"flashcore_build_info{{{SELECTED}}}",
              hidden=["Value"]),
    ]
