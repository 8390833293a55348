#!/usr/bin/env python3
"""The table at the end of bench/device.sh, from the files that its steps left in a folder.

NAME.test.json is GoogleTest's, NAME.load.json flashcore_load's, NAME.status the exit status of either or of the server.
The exit status is 0 if everything passed.
"""

import json
import pathlib
import sys

TEST_ROW = "{:<22} {:>7} {:>7} {:>8} {:>8}"
LOAD_ROW = "{:<16} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9} {:>6} {:>10} {:>11}"


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def exit_status(work, name):
    return int((work / f"{name}.status").read_text())


def test_row(work, name):
    """The row's cells, and whether the tests passed."""
    status = exit_status(work, name)
    report = read_json(work / f"{name}.test.json")
    if report is None:
        return [name, "-", "crashed", "-", "-"], False
    cases = [case for suite in report["testsuites"] for case in suite["testsuite"]]
    failed = sum(1 for case in cases if "failures" in case)
    skipped = sum(1 for case in cases if case["result"] == "SKIPPED")
    passed = len(cases) - failed - skipped
    return [name, passed, failed, skipped, report["time"]], status == 0 and failed == 0


def load_row(work, name):
    """The row's cells, and whether every request was answered, and every checked answer right."""
    status = exit_status(work, name)
    report = read_json(work / f"{name}.load.json")
    label = name.split("-", 1)[1]
    if report is None:
        return [label, "failed"] + ["-"] * 8, False
    latency, verified = report["latency_ms"], report["verified"]
    worst = verified["max_error"]
    cells = [label, report["answered"], report["failed"], f"{latency['p50']:.3f}", f"{latency['p99']:.3f}",
             f"{report['requests_per_s']:.0f}", verified["checked"], verified["wrong"],
             "not finite" if worst is None else f"{worst:.1e}", f"{report['gflop_per_s']:.0f}"]
    return cells, status == 0 and report["good"]


def main():
    work = pathlib.Path(sys.argv[1])
    names = sorted(path.name.removesuffix(".status") for path in work.glob("*.status"))
    good = True
    print(TEST_ROW.format("tests", "passed", "failed", "skipped", "time"))
    for name in (n for n in names if n.endswith("_test")):
        cells, passed = test_row(work, name)
        good &= passed
        print(TEST_ROW.format(*cells))
    print()
    print(LOAD_ROW.format("load", "requests", "errors", "p50 ms", "p99 ms", "req/s", "checked", "wrong", "max error",
                          "GFLOP/s"))
    for name in (n for n in names if "-" in n):
        cells, passed = load_row(work, name)
        good &= passed
        print(LOAD_ROW.format(*cells))
    print()
    for name in names:
        status = exit_status(work, name)
        good &= status == 0
        if status != 0:
            print(f"{name} exited with status {status}")
    print("everything passed" if good else "NOT everything passed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
