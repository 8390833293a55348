#!/usr/bin/env python3
"""How the server stands what it must stand: overload, a mix of shapes, SIGTERM, callers that cancel or do not read.

    python3 bench/serving.py --bundle .bundle                       on a GPU machine
    python3 bench/serving.py --bin build/release/bin --backend cpu  anywhere

overload  ten times the peak rate, open loop: what is answered, how late, and what memory it takes. All bounds are
          at their defaults. On a GPU the scalar kernel computes: with the fast ones the network is full long before the
          GPU has anything to refuse. On CPUs, which clients and server share, it is much to compute for its bytes.
shapes    fifty shapes at once, every answer checked
drain     SIGTERM under full load, again and again: the client has as many answers as the server says it gave. What the
          server has not yet received in full when it ends is CANCELLED, not accepted.
cancel    calls cancelled at random, beside readers that hardly read: nothing is left afterwards

Ends with a table; exit status 0 if every line of it is good.
"""

import argparse
import concurrent.futures
import datetime
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

START_S = 60
QUARTERS = 4
MIB = 1 << 20
SMALL_SERVER = ["--max_message_bytes=8388608", "--max_batch_bytes=67108864", "--staging_bytes=268435456"]
# Much to compute for its bytes: flags of the server, the mix, and how long it takes until the first moment of an overload,
# in which everything gets in, has passed.
DENSE = {"cuda": (["--kernel=scalar"], "1,1,8192,8", "1s"), "cpu": ([], "1,1,16384,8", "16s")}
MISSION = {"cuda": "1,8,512,64", "cpu": "1,2,128,64"}
ANSWERED = 'flashcore_requests_total{code="OK",method="Attend"}'
GAUGES = ("flashcore_requests_in_flight", "flashcore_queue_length", "flashcore_lanes_busy", "flashcore_in_flight_bytes")


class Server:
    """A running flashcore_server; leaving the context drains it."""

    def __init__(self, args, work, flags):
        self.log_path = work / f"server-{time.monotonic_ns()}.log"
        command = [args.bin / "flashcore_server", f"--backend={args.backend}", "--listen=127.0.0.1:0",
                   "--metrics_address=127.0.0.1:0", "--gpu_counters=off", *flags]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.await_log("msg=serving")
        self.target = re.search(r"msg=listening address=(\S+)", self.log())[1]
        self.metrics = re.search(r"msg=metrics address=(\S+)", self.log())[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.drain()

    def log(self):
        return self.log_path.read_text()

    def await_log(self, text):
        deadline = time.monotonic() + START_S
        while text not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not serve:\n{self.log()}")
            time.sleep(0.05)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as reply:
            for line in reply.read().decode().splitlines():
                if line.startswith(name + " ") or line.startswith(name + "{"):
                    return float(line.rsplit(" ", 1)[1])
        return 0.0

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / MIB

    def drain(self):
        """Its exit status, and how long it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=START_S), time.monotonic() - start


def start_load(args, work, target, mix, flags):
    """A running flashcore_load and where its JSON will be."""
    path = work / f"load-{time.monotonic_ns()}.json"
    command = [args.bin / "flashcore_load", f"--target={target}", f"--mix={mix}", f"--json={path}", "--allow_invalid",
               "--max_errors=1", *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), path


def load(args, work, target, mix, flags):
    process, path = start_load(args, work, target, mix, flags)
    process.wait()
    return json.loads(path.read_text())


def failures(report):
    return {code: error["count"] for code, error in report["errors"].items()}


def overload(args, work):
    flags, mix, onset = DENSE[args.backend]
    mix = args.overload_mix or mix
    seconds = [f"--duration={args.seconds}s", "--warmup=500ms"]
    with Server(args, work, flags) as server:
        alone = load(args, work, server.target, mix, [*seconds, "--concurrency=1"])["latency_ms"]["p99"]
        peak = load(args, work, server.target, mix, [*seconds, "--concurrency=8", "--channels=4"])["requests_per_s"]
    with Server(args, work, flags) as server:
        before_mib = server.resident_mib()
        report = load(args, work, server.target, mix,
                      [f"--duration={2 * args.seconds}s", f"--warmup={onset}", f"--rate={10 * peak:.0f}", "--channels=8"])
        grown_mib = server.resident_mib() - before_mib
        left = max(server.metric(gauge) for gauge in GAUGES)
    goodput = report["requests_per_s"] / peak
    p99 = report["latency_ms"]["p99"]
    reasons = "" if report["valid"] else "; the client was the limit: " + "; ".join(report["invalid_reasons"])
    yield (goodput >= 0.9, "goodput at 10x, share of peak",
           f"{goodput:.2f} ({report['requests_per_s']:.0f} of {peak:.0f}/s answered, {report['sends']['per_s']:.0f}/s "
           f"sent, {failures(report)}{reasons})")
    yield (p99 <= 3 * alone, "p99 of what is answered, by the uncontended",
           f"{p99 / alone:.2f} ({p99:.1f} ms by {alone:.1f} ms)")
    yield grown_mib < 256 and left == 0, "memory", f"{grown_mib:.0f} MiB more than before, gauges at {left:.0f} afterwards"


def fifty_shapes(seed):
    pick = random.Random(seed)
    entries = []
    for _ in range(50):
        kv_heads = pick.randint(1, 2)
        words = [f"{pick.randint(1, 2)},{kv_heads * pick.randint(1, 4)},{kv_heads},{pick.randint(1, 200)},"
                 f"{pick.randint(1, 300)},{8 * pick.randint(1, 16)}", pick.choice(("fp16", "bf16", "fp32")),
                 pick.choice(("bhsd", "bshd"))]
        entries.append(" ".join(words + [word for word in ("causal", "lse") if pick.random() < 0.5]))
    return ";".join(entries)


def shapes(args, work):
    seed = random.SystemRandom().randrange(1 << 16)
    with Server(args, work, []) as server:
        report = load(args, work, server.target, fifty_shapes(seed),
                      [f"--duration={args.seconds}s", "--warmup=200ms", "--concurrency=64", "--channels=8", "--verify=1",
                       "--variants=1"])
    verified = report["verified"]
    right = verified["checked"] > 0 and verified["wrong"] == 0 and not report["errors"]
    yield (right, "fifty shapes, all answers checked",
           f"{verified['checked']} checked, {verified['wrong']} wrong, {failures(report) or 'no'} errors (seed {seed})")
    batch = report["mean_batch_size"]
    yield batch > 1, "mean batch size of the mix", f"{batch:.1f} requests at {report['requests_per_s']:.0f}/s"


def logged_at(log, message):
    """When the server said so, in seconds since the epoch."""
    return datetime.datetime.fromisoformat(re.search(rf"ts=(\S+)Z .*msg={message}", log)[1]).timestamp()


def drain_once(args, work, seed):
    """What was wrong, if anything; how long the drain took; and how much of that until it said that it has stopped."""
    with Server(args, work, SMALL_SERVER) as server:
        client, path = start_load(args, work, server.target, MISSION[args.backend],
                                  ["--duration=60s", "--warmup=0s", "--concurrency=32", "--channels=8",
                                   "--give_up_after=500ms"])
        while server.metric(ANSWERED) < 100:
            time.sleep(0.02)
        time.sleep(random.Random(seed).uniform(0, 0.2))
        status, seconds = server.drain()
        client.wait()
        report = json.loads(path.read_text())
        # The client asks the server once what it is.
        log = server.log()
        answered = int(re.search(r"msg=stopped .*answered=(\d+)", log)[1]) - 1
    problems = []
    if status != 0:
        problems.append(f"exit status {status}")
    if answered != report["answered"]:
        problems.append(f"{answered} answers given, {report['answered']} received")
    if set(failures(report)) - {"UNAVAILABLE", "CANCELLED"}:
        problems.append(str(failures(report)))
    return problems, seconds, logged_at(log, "stopped") - logged_at(log, "draining")


def drain(args, work):
    beside = 4 if args.backend == "cuda" else 1
    with concurrent.futures.ThreadPoolExecutor(beside) as pool:
        results = list(pool.map(lambda seed: drain_once(args, work, seed), range(args.drains)))
    problems = [problem for found, _, _ in results for problem in found]
    slowest, until_stopped = max((seconds, until_stopped) for _, seconds, until_stopped in results)
    yield (not problems, f"SIGTERM under full load, {args.drains} times",
           f"{'; '.join(problems) or 'no answer lost, exit status 0'}; the slowest took {slowest:.2f} s, "
           f"{until_stopped:.2f} s until it said that it has stopped")


def cancel(args, work):
    mission = MISSION[args.backend]
    seconds = [f"--duration={args.cancel_seconds}s", "--warmup=0s"]
    with Server(args, work, []) as server:
        cancelling = start_load(args, work, server.target, mission,
                                [*seconds, "--concurrency=32", "--channels=8", "--cancel=0.3", "--verify=0.01"])
        slow = start_load(args, work, server.target, mission, [*seconds, "--concurrency=8", "--slow_read=50ms"])
        stream = start_load(args, work, server.target, mission,
                            [*seconds, "--mode=stream", "--concurrency=16", "--channels=2", "--slow_read=20ms"])
        reports = []
        resident_mib = []
        for _ in range(QUARTERS - 1):
            time.sleep(args.cancel_seconds / QUARTERS)
            resident_mib.append(server.resident_mib())
        for process, path in (cancelling, slow, stream):
            process.wait()
            reports.append(json.loads(path.read_text()))
        deadline = time.monotonic() + START_S
        while max(server.metric(gauge) for gauge in GAUGES) > 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        left = {gauge: server.metric(gauge) for gauge in GAUGES if server.metric(gauge) > 0}
        resident_mib.append(server.resident_mib())
        status, _ = server.drain()
    # By the third quarter every heap of the server has come to what it needs.
    grown_mib = resident_mib[-1] - resident_mib[-2]
    wrong = reports[0]["verified"]["wrong"]
    errors = [failures(report) for report in reports if report["errors"]]
    good = not left and grown_mib < 64 and status == 0 and wrong == 0 and not errors
    yield (good, f"30 % cancelled, and slow readers, {args.cancel_seconds} s",
           f"{reports[0]['cancelled']} cancelled, {sum(report['answered'] for report in reports)} answered, {wrong} wrong "
           f"of {reports[0]['verified']['checked']} checked, errors {errors or 'none'}, gauges left {left or 'none'}, "
           f"resident after each quarter: {', '.join(f'{mib:.0f}' for mib in resident_mib)} MiB, exit status {status}")


PARTS = {"overload": overload, "shapes": shapes, "drain": drain, "cancel": cancel}


def describe_machine(args):
    print(time.strftime("date      %Y-%m-%d %H:%M UTC", time.gmtime()))
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        print("gpu      ", subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    models = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    print(f"cpu       {len(models)} x {models[0].strip()}")
    version = args.bin.parent / "VERSION"
    if version.is_file():
        print(version.read_text().strip())
    print(flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=pathlib.Path, help="what bench/bundle.sh made")
    parser.add_argument("--bin", type=pathlib.Path, help="or a folder with flashcore_server and flashcore_load")
    parser.add_argument("--backend", choices=sorted(DENSE), default="cuda")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--seconds", type=int, default=5, help="for each load of overload and shapes")
    parser.add_argument("--overload_mix", metavar="MIX", help="of overload (default: what is much to compute)")
    parser.add_argument("--drains", type=int, default=20)
    parser.add_argument("--cancel_seconds", type=int, default=300)
    args = parser.parse_args()
    if args.bin is None:
        args.bin = (args.bundle or pathlib.Path(".bundle")) / "bin"
    if not (args.bin / "flashcore_server").is_file():
        parser.error(f"there is no {args.bin}/flashcore_server")
    if unknown := set(args.parts.split(",")) - set(PARTS):
        parser.error(f"--parts: no {', '.join(sorted(unknown))}")
    return args


def main():
    args = parse_arguments()
    describe_machine(args)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts.split(","):
            for passed, what, found in PARTS[part](args, pathlib.Path(folder)):
                good &= passed
                print(f"{'good' if passed else 'NOT GOOD':<9} {what}: {found}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
