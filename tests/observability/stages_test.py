#!/usr/bin/python3
"""A real server under load: the times of a request's stages add up to its whole, unary and streamed, small and large."""

import pathlib
import re
import subprocess
import sys
import unittest

import promql

sys.path.insert(0, str(promql.ROOT / "tests" / "python"))
# pylint: disable=wrong-import-position
import fixture  # First: it skips the test where a module is missing.

import prometheus

# What may be in no stage.
MOST_UNACCOUNTED = 0.05
# Of a load, on a machine that is slow, busy and under a sanitizer.
LOAD_SECONDS = 600
STAGE_SUM = re.compile(r'^flashcore_stage_duration_seconds_sum\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
TOTAL_SUM = re.compile(r'^flashcore_request_duration_seconds_sum\{method="Attend(?:Stream)?"\} (\S+)$', re.MULTILINE)
TOTAL_COUNT = re.compile(r'^flashcore_request_duration_seconds_count\{method="Attend(?:Stream)?"\} (\S+)$', re.MULTILINE)

# By B,H,S,D: nothing but overhead, the usual, and tensors of megabytes.
MIXES = {"small": "1,1,8,32 fp16", "mission": "1,8,512,64 fp16", "large": "1,8,512,128 fp16"}
REQUESTS = {"small": 3000, "mission": 32, "large": 16}


class Sums:
    """Seconds so far, by stage and as a whole."""

    def __init__(self, text):
        self.stages = {stage: float(seconds) for stage, seconds in STAGE_SUM.findall(text)}
        self.total = sum(map(float, TOTAL_SUM.findall(text)))
        self.count = sum(map(float, TOTAL_COUNT.findall(text)))

    def since(self, before):
        """The mean request between two scrapes: ({stage: seconds}, seconds)."""
        count = self.count - before.count
        return ({stage: (seconds - before.stages[stage]) / count for stage, seconds in self.stages.items()},
                (self.total - before.total) / count)


class StagesTest(unittest.TestCase):
    arguments = None

    def load(self, server, size, mode, concurrency):
        program = pathlib.Path(self.arguments.server).with_name("flashcore_load")
        subprocess.run([program, f"--target={server.address}", f"--mix={MIXES[size]}", f"--mode={mode}",
                        f"--requests={REQUESTS[size]}", f"--concurrency={concurrency}", "--warmup=0s", "--allow_invalid",
                        f"--seed={self.arguments.seed}", f"--timeout={LOAD_SECONDS}s", f"--give_up_after={LOAD_SECONDS}s"],
                       check=True, capture_output=True, text=True, timeout=LOAD_SECONDS)

    def sums(self, server):
        return Sums(prometheus.fetch(f"http://{server.metrics_address}/metrics"))

    def test_stages_add_up_to_the_whole(self):
        with fixture.Server(self.arguments) as server:
            for size in MIXES:
                for mode in ("unary", "stream"):
                    for concurrency in (1, 16):
                        with self.subTest(size=size, mode=mode, concurrency=concurrency):
                            before = self.sums(server)
                            self.load(server, size, mode, concurrency)
                            stages, total = self.sums(server).since(before)
                            unaccounted = 1 - sum(stages.values()) / total
                            shares = " ".join(f"{stage} {100 * seconds / total:.1f}" for stage, seconds in stages.items())
                            print(f"{size} {mode} x{concurrency}: {1e6 * total:.0f} us; %: {shares}; "
                                  f"in no stage {100 * unaccounted:.2f}", flush=True)
                            self.assertLessEqual(abs(unaccounted), MOST_UNACCOUNTED)


if __name__ == "__main__":
    StagesTest.arguments = fixture.parse_arguments(__doc__, default_count=0)
    unittest.main(argv=sys.argv[:1], verbosity=2)
