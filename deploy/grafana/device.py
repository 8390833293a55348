"""Panels about what computes: which resource is the limit, how busy it is, and how it feels."""

from grafana import bound, lines, query, row, table, timeline

SELECTED = 'instance=~"$instance"'
RATE = "[$__rate_interval]"
GPU = "{{instance}} GPU {{device}}"
BOTTLENECKS = {0: ("idle", "text"), 1: ("wire-bound: the device waits", "blue"), 2: ("PCIe-bound", "yellow"),
               3: ("device-bound", "green")}


def gauge(metric, legend=GPU, more=""):
    return query(f"{metric}{{{more}{SELECTED}}}", legend)


def busy():
    return [
        row("Tensor cores: wire-bound or GPU-bound?"),
        timeline("What limits each instance",
                 "Device-bound: it computes at least 80 % of the time; only faster kernels or more devices serve more. "
                 "PCIe-bound: it does not, yet the lanes carry batches at least 80 % of the time. Wire-bound: both have "
                 "time left; more connections, a faster network, more CPU for gRPC or simply more clients would serve "
                 "more.", 24, BOTTLENECKS, query(f"instance:flashcore_bottleneck:state{{{SELECTED}}}", "{{instance}}")),
        lines("Tensor cores", "Share of time in which the tensor pipes worked. The source: cupti and nvml are hardware "
              "counters, estimate is FLOPs by what the clock allows. None: see the sources below.", 6, "percentunit",
              gauge("flashcore_tensor_core_utilization_ratio", GPU + ", {{source}}"), max=1),
        lines("SMs active", "Share of time in which the SMs had work. High with idle tensor cores: the kernel waits for "
              "memory or does other arithmetic.", 6, "percentunit",
              gauge("flashcore_sm_active_ratio", GPU + ", {{source}}"), max=1),
        lines("DRAM", "Throughput of device memory by its peak.", 6, "percentunit",
              gauge("flashcore_dram_utilization_ratio", GPU + ", {{source}}"), max=1),
        lines("Power", "At the limit, clocks are lowered: then power is what bounds compute.", 6, "watt",
              gauge("flashcore_gpu_power_watts"), bound(f"max(flashcore_gpu_power_limit_watts{{{SELECTED}}})", "limit")),
        lines("Work done", "Floating-point operations per second of requests, by device: 4 * head_dim per visible "
              "query-key pair and query head.", 8, "flops",
              query(f"sum by (instance, device) (rate(flashcore_device_flops_total{{{SELECTED}}}{RATE}))",
                    "{{instance}} device {{device}}"),
              query(f"sum(rate(flashcore_flops_total{{{SELECTED}}}{RATE}))", "all")),
        lines("Device and lanes", "What the answer above is made of: how busy the device is, and how busy the lanes.", 8,
              "percentunit", gauge("instance:flashcore_device_busy:ratio", "device, {{instance}}"),
              gauge("instance:flashcore_lanes_busy:ratio", "lanes, {{instance}}"), max=1),
        lines("PCIe", "Traffic between host and GPU, seen from the GPU.", 8, "Bps",
              gauge("flashcore_gpu_pcie_bytes_per_second", GPU + " {{direction}}")),
    ]


def health():
    return [
        row("The GPU's health"),
        lines("Clocks", "Below the highest clock under load: look at power, temperature and the reasons beside.", 6, "hertz",
              gauge("flashcore_gpu_clock_hertz", GPU + " {{domain}}"),
              bound(f"max by (domain) (flashcore_gpu_max_clock_hertz{{{SELECTED}}})", "highest {{domain}}")),
        lines("Throttled", "1 while clocks are held down for that reason. idle and application_clocks are harmless.", 6,
              "bool", gauge("flashcore_gpu_throttled", GPU + " {{reason}}"), max=1),
        lines("Temperature", "Of the chip.", 6, "celsius", gauge("flashcore_gpu_temperature_celsius")),
        lines("GPU memory", "In use by all programs.", 6, "bytes", gauge("flashcore_gpu_memory_used_bytes"),
              bound(f"max(flashcore_gpu_memory_size_bytes{{{SELECTED}}})", "size")),
        lines("Busy, as NVML counts", "Share of time in which any kernel ran, however small, and in which memory was used: "
              "what nvidia-smi shows. An upper bound of what the counters above say.", 6, "percentunit",
              gauge("flashcore_gpu_busy_ratio", GPU + " kernels"),
              gauge("flashcore_gpu_memory_busy_ratio", GPU + " memory"), max=1),
        lines("CPU backend", "Share of the CPUs that the server may use which it kept busy. Absent where a GPU computes.", 6,
              "percentunit", gauge("flashcore_cpu_utilization_ratio", "{{instance}}"), max=1),
        lines("Errors of the GPU", "Memory errors since the driver was loaded, critical XID events since the server started, "
              "and the latest XID's code.", 6, "short", gauge("flashcore_gpu_ecc_errors_total", GPU + " ECC {{type}}"),
              gauge("flashcore_gpu_xid_errors_total", GPU + " XID events"),
              gauge("flashcore_gpu_last_xid", GPU + " latest XID")),
        lines("Energy of a request", "Joules of the GPU for each request answered.", 6, "joule",
              query(f"sum by (instance) (rate(flashcore_gpu_energy_joules_total{{{SELECTED}}}{RATE})) "
                    f"/ sum by (instance) (rate(flashcore_requests_total{{{SELECTED}}}{RATE}))", "{{instance}}")),
        table("Sources of counters", "How it stands with each: active is the one in use, standby comes after it. "
              "permission_denied: see the runbook.", 12, f"flashcore_gpu_metrics_source_info{{{SELECTED}}}",
              hidden=["Value"]),
        table("GPUs", "Name, bus and driver.", 12, f"flashcore_gpu_info{{{SELECTED}}}", hidden=["Value"]),
    ]
