#!/usr/bin/env python3
"""Reads what bench/telemetry_check.sh left in a folder, prints its tables, and judges. Needs nothing but Python."""

import csv
import json
import pathlib
import statistics
import sys

MOST_POINTS = 5.0
MOST_CHANGE = 0.02
SCHEDULERS_PER_MULTIPROCESSOR = 4

RATIO = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed"
CYCLES = "smsp__pipe_tensor_cycles_active.sum"
INSTRUCTIONS = "smsp__inst_executed_pipe_tensor.sum"
DRAM = "dram__throughput.avg.pct_of_peak_sustained_elapsed"


def json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def ncu_means(path):
    """{metric: mean over launches} of ncu's CSV, one row for each launch and metric; other lines start otherwise."""
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith('"')]
    values = {}
    for row in csv.DictReader(rows):
        values.setdefault(row["Metric Name"], []).append(float(row["Metric Value"].replace(",", "")))
    return {name: statistics.mean(of_launches) for name, of_launches in values.items()}


def expected_ratio(series, ncu):
    """The share of time that the launches behind those FLOPs hold the pipes, at the mean of the clocks that NVML named."""
    cycles = series["flops_per_second"] / series["flops_per_launch"] * ncu[CYCLES]
    return cycles / (series["clock_hertz"] * SCHEDULERS_PER_MULTIPROCESSOR * series["multiprocessors"])


def percent(ratio):
    return "absent" if ratio is None else f"{100 * ratio:.1f}"


def compare(folder):
    """Prints a line for each shape. False if one is off by too much."""
    of_shape = {}
    for line in json_lines(folder / "series.jsonl"):
        of_shape.setdefault(line["shape"], {})[line["source"]] = line
    print(f"\n{'tensor pipe, % of time':38} {'cupti':>7} {'ncu':>7} {'points':>7} {'nvml':>7} {'FLOPs':>7} {'estimate':>9}"
          f" {'TFLOP/s':>8} {'cycles':>7} {'GHz':>6} {'dram':>6} {'ncu':>6}")
    right = True
    for number, (shape, sources) in enumerate(of_shape.items()):
        ncu = ncu_means(folder / f"ncu_{number}.csv")
        cupti = sources["cupti"]
        cycles = ncu[CYCLES] / ncu[INSTRUCTIONS] if ncu[INSTRUCTIONS] else 0.0
        points = 100 * cupti["tensor"] - ncu[RATIO]
        right = right and abs(points) <= MOST_POINTS
        print(f"{shape:38} {percent(cupti['tensor']):>7} {ncu[RATIO]:7.1f} {points:+7.1f} "
              f"{percent(sources.get('nvml', {}).get('tensor')):>7} {percent(expected_ratio(cupti, ncu)):>7} "
              f"{percent(sources.get('estimate', {}).get('tensor')):>9} {cupti['flops_per_second'] / 1e12:8.1f} {cycles:7.2f} "
              f"{cupti['clock_hertz'] / 1e9:6.3f} {percent(cupti['dram']):>6} {ncu[DRAM]:6.1f}")
    print("cupti, nvml, estimate: flashcore_tensor_core_utilization_ratio by source. FLOPs: launches per second, as FLOP/s\n"
          "tell, times the cycles for which one holds the pipes, as ncu counts them, at NVML's mean clock (GHz). That and the\n"
          "estimate lag behind a clock that still falls: let each measurement take seconds. cycles: of a pipe for one\n"
          "instruction. dram: flashcore_dram_utilization_ratio, and ncu's.")
    return right


def judge_sampling(folder):
    right = True
    for line in json_lines(folder / "sampling.jsonl"):
        right = right and abs(line["change"]) < MOST_CHANGE
        print(f"\nsampling, {line['shape']}: {line['tflops_without']} TFLOP/s without, {line['tflops_with']} with; "
              f"{100 * line['change']:+.2f} % (median of {line['rounds']} pairs, from {100 * line['least_change']:+.2f} to "
              f"{100 * line['greatest_change']:+.2f})")
    return right


def main():
    folder = pathlib.Path(sys.argv[1])
    results = [compare(folder), judge_sampling(folder)]
    print("\n" + ("passed" if all(results) else "FAILED"))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
