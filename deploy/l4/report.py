#!/usr/bin/env python3
"""The report of deploy/l4/validate.sh, as Markdown, from the files that its steps left in a folder.

The exit status is 0 if everything is right and every target is met.
"""

import json
import pathlib
import sys

L4 = "NVIDIA L4"
CASES = 15  # Five shapes, three seeds.
MISSION = "1,8,512,64"

# (kernel, the most microseconds a call may take at the mission shape, what the target is). None: said, not asked.
TARGETS = [
    ("scalar", None, "about 1500 us expected: the rung to climb from"),
    ("wmma", 200.0, "< 200 us"),
    ("fused", 58.0, "< 58 us, the primary goal"),
    ("auto", 58.0, "< 58 us; 15-30 us is the stretch goal; PyTorch SDPA took 25.9 us eager on an L4"),
]


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


class Report:
    """Lines of Markdown, and whether all of it is good."""

    def __init__(self):
        self.lines = []
        self.good = True

    def add(self, *lines):
        self.lines.extend(lines)

    def judge(self, good):
        self.good = self.good and good
        return "yes" if good else "**no**"


def add_machine(report, folder):
    mission = read_json(folder / "mission.json") or {}
    device = mission.get("device", {})
    report.add("# Validation on " + device.get("name", "an unknown GPU"), "")
    if device.get("name") != L4:
        report.add(f"**This is not an {L4}: the targets below are not about this GPU.**", "")
    report.add(f"{mission.get('date', 'undated')}, commit {mission.get('commit', 'unknown')}, "
               f"driver {device.get('driver', 'unknown')}, {device.get('sm_count', '?')} multiprocessors, "
               f"power limit {device.get('power_limit_watts', '?')} W.", "")
    preflight = read_json(folder / "preflight.json") or {"checks": []}
    for check in preflight["checks"]:
        if check["level"] != "pass":
            report.add(f"- preflight, {check['level']}: {check['name']}: {check['detail']}")
    report.add("")


def add_cases(report, folder):
    report.add(f"## The {CASES} validation cases", "",
               "The target was a largest error of 0.06 and a mean of 0.02; the tests ask for far less, "
               "twice the error of the plain 16-bit computation plus 1e-5.", "",
               "| kernel | right |", "|---|---|")
    tests = read_json(folder / "cases.json") or {"testsuites": []}
    cases = [case for suite in tests["testsuites"] for case in suite["testsuite"]]
    for case in cases:
        right = case["result"] == "COMPLETED" and "failures" not in case
        report.add(f"| {case.get('value_param', case['name'])} | {report.judge(right)} |")
    if not cases:
        report.add(f"| none ran | {report.judge(False)} |")
    report.add("")


def add_mission(report, folder):
    report.add("## Kernels at the mission shape, B=1 H=8 S=512 D=64 FP16", "",
               "| kernel | us, inputs from memory | us, inputs in L2 | check | target | met |", "|---|---|---|---|---|---|")
    results = (read_json(folder / "mission.json") or {}).get("results", [])
    by_kernel = {result["kernel"]: result for result in results if result["shape"] == MISSION}
    for kernel, limit_us, target in TARGETS:
        result = by_kernel.get(kernel)
        times = result and (result["graph_rotated"], result["graph_resident"])
        if not times or None in times:
            verdict = result["verdict"] if result else "not measured"
            report.add(f"| {kernel} | - | - | {verdict} | {target} | {report.judge(False)} |")
            continue
        rotated_us, resident_us = (time["median_us"] for time in times)
        right = result["verdict"] == "correct" and (limit_us is None or rotated_us < limit_us)
        report.add(f"| {kernel} | {rotated_us:.1f} | {resident_us:.1f} | {result['verdict']} | {target} | "
                   f"{report.judge(right)} |")
    report.add("")


def add_grid(report, folder):
    results = (read_json(folder / "grid.json") or {}).get("results", [])
    report.add("## Kernel `auto` on the standard grid", "", "| shape | us | TFLOP/s | check |", "|---|---|---|---|")
    for result in results:
        right = result["verdict"] == "correct"
        time_us = f"{result['graph_rotated']['median_us']:.1f}" if result["graph_rotated"] else "-"
        report.judge(right)
        report.add(f"| {result['shape']} | {time_us} | {result['tflops']:.1f} | {result['verdict']} |")
    if not results:
        report.add(f"| none measured | | | {report.judge(False)} |")
    report.add("")


def add_server(report, folder):
    report.add("## The server under load, on this machine's unix socket", "",
               "No target was set: `bench/` measures beside it what gRPC alone can do.", "",
               "| load | requests | errors | p50 ms | p99 ms | requests/s | checked | wrong |", "|---|---|---|---|---|---|---|---|")
    loads = sorted((folder / "device").glob("*.load.json"))
    for path in loads:
        load = read_json(path)
        name = path.name.removesuffix(".load.json").split("-", 1)[-1]
        if load is None:
            report.add(f"| {name} | unreadable |")
            report.judge(False)
            continue
        report.judge(load["good"])
        latency, verified = load["latency_ms"], load["verified"]
        report.add(f"| {name} | {load['answered']} | {load['failed']} | {latency['p50']:.3f} | {latency['p99']:.3f} | "
                   f"{load['requests_per_s']:.0f} | {verified['checked']} | {verified['wrong']} |")
    if not loads:
        report.add(f"| none measured | | | | | | | {report.judge(False)} |")
    report.add("")


def add_steps(report, folder):
    report.add("## Steps", "")
    for path in sorted(folder.glob("*.status")):
        status = int(path.read_text())
        report.judge(status == 0)
        report.add(f"- {path.stem}: exit status {status}, output in {path.stem}.log")
    report.add("")


def main():
    folder = pathlib.Path(sys.argv[1])
    report = Report()
    for add in (add_machine, add_cases, add_mission, add_grid, add_server, add_steps):
        add(report, folder)
    report.add("Everything is right and every target is met." if report.good
               else "**Something above is wrong or short of its target.**")
    print("\n".join(report.lines))
    sys.exit(not report.good)


if __name__ == "__main__":
    main()
