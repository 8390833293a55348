#!/usr/bin/python3
"""A real server under load, scraped by a real Prometheus with the deployed configuration: every query of every panel,
recording rule and alert has to be accepted and to have an answer.

Queries about a GPU are asked of gpu_scrapes.prom, recorded scrapes, or of the server itself with --backend=cuda. Where
there is neither they are only checked for errors.
"""

import contextlib
import itertools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import promql

sys.path.insert(0, str(promql.ROOT / "tests" / "python"))
# pylint: disable=wrong-import-position
import fixture  # First: it skips the test where a module is missing.

import grpc
import numpy as np

import attention_numpy
import prometheus

PROMTOOL = shutil.which("promtool")
SERVICE = "flashcore.v1.AttentionService"
# How long Prometheus may take to know everything. Usually a few seconds: three scrapes and as many evaluations.
ANSWER_SECONDS = 90
ASK_AGAIN_SECONDS = 0.5
CALL_SECONDS = 30
# A server that computes on a GPU has these, or telling about it is broken.
GPU_ESSENTIALS = {"flashcore_tensor_core_utilization_ratio", "flashcore_gpu_info", "flashcore_gpu_power_watts"}


class Load:
    """Calls every method, on a thread of its own, until the end of the context. One request in a few is a bad one."""

    def __init__(self, server, messages, seed):
        self.pb = messages[0]
        self.rng = np.random.default_rng(seed)
        self.server = server
        self.enough = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _request(self):
        return attention_numpy.random_request(self.rng, self.pb.AttendRequest(), [self.pb.DTYPE_FP16], longest=32,
                                              max_work=1e6)

    def _round(self, channel):
        info = channel.unary_unary(f"/{SERVICE}/GetServerInfo", self.pb.GetServerInfoRequest.SerializeToString)
        attend = channel.unary_unary(f"/{SERVICE}/Attend", self.pb.AttendRequest.SerializeToString)
        stream = channel.stream_stream(f"/{SERVICE}/AttendStream", self.pb.AttendStreamRequest.SerializeToString)
        info(self.pb.GetServerInfoRequest(), timeout=CALL_SECONDS)
        for _ in range(8):
            attend(self._request(), timeout=CALL_SECONDS)
        items = [self.pb.AttendStreamRequest(id=number, request=self._request()) for number in range(8)]
        for _ in stream(iter(items), timeout=CALL_SECONDS):
            pass
        try:
            attend(self.pb.AttendRequest(), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise

    def _run(self):
        try:
            with self.server.channel() as channel:
                while not self.enough.is_set():
                    self._round(channel)
        except (grpc.RpcError, ValueError) as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.enough.set()
        self.thread.join()
        if kind is None and self.failure is not None:
            raise self.failure


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="flashcore-secrets-")


def secrets(folder):
    """The flags of a server that speaks TLS, knows clients by a CA, and wants a token: their series exist only then."""
    certificate, key, tokens = (pathlib.Path(folder, name) for name in ("tls.crt", "tls.key", "tokens"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tokens.write_text("test:" + "0123456789abcdef" * 2 + "\n", encoding="utf-8")
    tokens.chmod(0o600)
    return [f"--tls_cert={certificate}", f"--tls_key={key}", f"--tls_client_ca={certificate}",
            f"--auth_tokens_file={tokens}"]


class LiveTest(unittest.TestCase):
    arguments = None
    messages = None

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.server = stack.enter_context(fixture.Server(cls.arguments))
        guarded = stack.enter_context(fixture.Server(cls.arguments, *secrets(stack.enter_context(temporary_folder()))))
        cls.guarded = guarded
        targets = [cls.server.metrics_address, guarded.metrics_address, stack.enter_context(prometheus.DeadTarget()).address]
        if promql.gpu_scrapes():
            targets.append(stack.enter_context(prometheus.RecordedTarget(promql.gpu_scrapes())).address)
        cls.prometheus = stack.enter_context(prometheus.Prometheus(targets))
        stack.enter_context(Load(cls.server, cls.messages, cls.arguments.seed))

    def live_text(self):
        return prometheus.fetch(f"http://{self.server.metrics_address}/metrics")

    def gpu_families(self):
        """The families that are known about a GPU here."""
        texts = [*promql.gpu_scrapes(), self.live_text()]
        families = set(itertools.chain.from_iterable(map(promql.series_names, texts)))
        return {family for family in families if promql.GPU_SERIES.match(family)}

    def until_answered(self, queries):
        """Asks until each of [(where, PromQL)] has an answer; fails with those that have none, or at once on an error."""
        deadline = time.monotonic() + ANSWER_SECONDS
        unanswered = queries
        while True:
            unanswered = [(where, expr) for where, expr in unanswered if not self.prometheus.samples(expr)]
            if not unanswered:
                return
            if time.monotonic() > deadline:
                self.fail("no answer to\n" + "\n".join(f"  {where}: {expr}" for where, expr in unanswered))
            time.sleep(ASK_AGAIN_SECONDS)

    def answerable(self, queries):
        """Those queries that this test can expect answers to; the others are asked, and only have to be valid."""
        families = self.gpu_families()
        expected = []
        for where, expr in queries:
            missing = {name for name in promql.series_names(expr) if promql.GPU_SERIES.match(name)} - families
            if missing:
                print(f"not answered here, no {', '.join(sorted(missing))}: {where}")
                self.prometheus.samples(expr)
            else:
                expected.append((where, expr))
        self.assertTrue(expected)
        return expected

    def test_metrics_follow_the_conventions(self):
        guarded = prometheus.fetch(f"http://{self.guarded.metrics_address}/metrics")
        self.assertIn("flashcore_tls_certificate_expiry_timestamp_seconds", guarded)
        for text in [self.live_text(), guarded, *promql.gpu_scrapes()]:
            run = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
            self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))

    def test_every_panel_has_an_answer(self):
        queries = promql.dashboard_queries()
        self.assertGreater(len(queries), 50)
        self.until_answered(self.answerable(queries))

    def test_every_recording_rule_has_an_answer(self):
        rules = [rule for rule in self.prometheus.rules() if rule["type"] == "recording"]
        self.assertGreater(len(rules), 10)
        self.until_answered([(rule["name"], rule["query"]) for rule in rules])
        self.until_answered([(rule["name"], rule["name"]) for rule in rules])

    def test_every_alert_is_able_to_fire(self):
        rules = [rule for rule in self.prometheus.rules() if rule["type"] == "alerting"]
        self.assertGreater(len(rules), 10)
        self.until_answered(self.answerable([(rule["name"], expr) for rule in rules
                                             for expr in promql.without_comparisons(rule["query"])]))
        for rule in rules:
            self.prometheus.samples(rule["query"])

    def test_no_rule_failed(self):
        deadline = time.monotonic() + ANSWER_SECONDS
        while any(rule["health"] == "unknown" for rule in self.prometheus.rules()):
            self.assertLess(time.monotonic(), deadline, "not all rules were evaluated")
            time.sleep(ASK_AGAIN_SECONDS)
        for rule in self.prometheus.rules():
            self.assertEqual(rule["health"], "ok", f"{rule['name']}: {rule.get('lastError')}")

    def test_only_the_dead_target_is_alarming(self):
        self.until_answered([("an alert about the dead target", 'ALERTS{alertname="FlashcoreInstanceDown"}')])
        alarming = self.prometheus.get("query", query=f'ALERTS{{instance="{self.server.metrics_address}"}}')["result"]
        self.assertEqual(alarming, [])

    def test_the_recorded_gpu_run_tells_what_matters(self):
        if not promql.gpu_scrapes():
            self.skipTest("no gpu_scrapes.prom: tests/observability/record_gpu_scrapes.sh has not been run on a GPU")
        self.assertLessEqual(GPU_ESSENTIALS, self.gpu_families())


if __name__ == "__main__":
    if not PROMTOOL or not prometheus.PROMETHEUS or not shutil.which("openssl"):
        print("skipped: no prometheus, promtool or openssl (Debian and Ubuntu: prometheus openssl)")
        sys.exit(77)
    LiveTest.arguments = fixture.parse_arguments(__doc__, default_count=0)
    LiveTest.messages = fixture.load_messages(LiveTest.arguments.protoc)
    unittest.main(argv=sys.argv[:1], verbosity=2)
