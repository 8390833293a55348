#!/usr/bin/python3
"""deploy/envoy/envoy.yaml, run for real: Envoy in front of three servers, one killed, one drained, both under load.

Every answer is compared with the bits that a server gave when asked alone. Fails if a call is lost.
"""

import argparse
import contextlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))
import fixture  # pylint: disable=wrong-import-position

ATTEND = "/flashcore.v1.AttentionService/Attend"
SHAPE = (1, 4, 64, 64)
CALLERS = 8
# What a caller of ours may have open while a server dies.
MAX_RETRIES = 3
CALLS_BETWEEN_EVENTS = 300
WAIT_SECONDS = 60


def wait_for(condition, what):
    """Returns the condition's first true value."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")


class Envoy:
    """A running Envoy. A context manager."""

    @staticmethod
    def config(servers, _folder):
        """The configuration that ships, with the addresses of this run."""
        config = yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())
        config["admin"]["address"]["socket_address"]["port_value"] = 0
        config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = 0
        endpoints = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
        assert len(endpoints) == len(servers)
        for endpoint, server in zip(endpoints, servers):
            host, port = server.address.rsplit(":", 1)
            endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": int(port)}
        return config

    def __init__(self, program, servers, folder):
        path = folder / "envoy.json"
        path.write_text(json.dumps(self.config(servers, folder)))
        admin = folder / "admin"
        self.log = folder / "envoy.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "-c", str(path), "--admin-address-path", str(admin), "--base-id", str(random.randrange(1 << 20)),
                 "--concurrency", "1"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.admin = wait_for(lambda: self.alive() and admin.exists() and admin.read_text(), "Envoy's admin address")
        listeners = wait_for(lambda: self.ask("listeners?format=json").get("listener_statuses"), "a listener")
        socket = listeners[0]["local_address"]["socket_address"]
        self.address = f"{socket['address']}:{socket['port_value']}"

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError("Envoy ended:\n" + self.log.read_text(errors="replace")[-4000:])
        return True

    def ask(self, path):
        with urllib.request.urlopen(f"http://{self.admin}/{path}", timeout=10) as answer:
            return json.load(answer)

    def hosts(self):
        """{address: (healthy, calls so far)}"""
        clusters = self.ask("clusters?format=json")["cluster_statuses"]
        hosts = {}
        for host in clusters[0].get("host_statuses", []):
            socket = host["address"]["socket_address"]
            health = host["health_status"]
            healthy = health.get("eds_health_status") == "HEALTHY" and not health.get("failed_active_health_check") \
                and not health.get("failed_outlier_check")
            calls = next(int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_total")
            hosts[f"{socket['address']}:{socket['port_value']}"] = (healthy, calls)
        return hosts

    def healthy(self):
        return {address for address, (healthy, _) in self.hosts().items() if healthy}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)


class Load:
    """Callers that repeat one call until told to stop, each on a channel of its own."""

    def __init__(self, address, request, expected):
        self.address, self.request, self.expected = address, request, expected
        self.lock = threading.Lock()
        self.answered, self.wrong, self.lost = 0, 0, 0
        self.failures = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(CALLERS)]

    def run(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        with grpc.insecure_channel(self.address, options) as channel:
            attend = channel.unary_unary(ATTEND)
            while not self.stop.is_set():
                self.call(attend)

    def call(self, attend):
        for _ in range(1 + MAX_RETRIES):
            try:
                answer = attend(self.request, timeout=WAIT_SECONDS)
            except grpc.RpcError as error:
                with self.lock:
                    self.failures.append(f"{error.code().name}: {error.details()}")
                continue
            with self.lock:
                self.answered += 1
                self.wrong += self.expected(answer)
            return
        with self.lock:
            self.lost += 1

    def wait_for_more(self, calls=CALLS_BETWEEN_EVENTS):
        target = self.answered + calls
        wait_for(lambda: self.answered >= target, f"{calls} more answers")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def make_request(messages, seed):
    size = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2] * SHAPE[3]
    generator = random.Random(seed)
    # fp16 of moderate size: the exponent's top bits cleared.
    data = bytes(byte & 0xBB if i % 2 else byte for i, byte in enumerate(generator.randbytes(size)))
    tensor = {"dtype": messages.DTYPE_FP16, "shape": SHAPE, "layout": messages.LAYOUT_BHSD, "data": data}
    return messages.AttendRequest(q=tensor, k=tensor, v=tensor).SerializeToString()


def is_wrong(messages, right):
    def compare(answer):
        return messages.AttendResponse.FromString(answer).o.data != right
    return compare


def check(arguments, messages, stack, folder):
    flags = ("--cpu_threads=1", "--staging_bytes=67108864", "--max_batch_bytes=67108864")
    servers = [fixture.Server(arguments, *flags) for _ in range(3)]
    killed, drained, survivor = servers
    for server in servers:
        stack.callback(server.process.kill)
    request = make_request(messages, arguments.seed)
    with servers[0].channel() as channel:
        right = messages.AttendResponse.FromString(channel.unary_unary(ATTEND)(request)).o.data
    envoy = stack.enter_context(Envoy(arguments.envoy, servers, folder))
    wait_for(lambda: len(envoy.healthy()) == 3, "three healthy servers")
    with Load(envoy.address, request, is_wrong(messages, right)) as load:
        load.wait_for_more()
        wait_for(lambda: all(calls > 0 for _, calls in envoy.hosts().values()), "calls on all three servers")

        killed.process.kill()
        load.wait_for_more()
        after_kill = len(load.failures)
        print(f"killed one of three: {after_kill} failed attempts of {CALLERS} callers: {load.failures}")
        wait_for(lambda: killed.address not in envoy.healthy(), "the killed server is left out")

        drained.process.send_signal(signal.SIGTERM)
        load.wait_for_more()
        status = drained.process.wait(WAIT_SECONDS)
        print(f"drained one of two: {len(load.failures) - after_kill} failed attempts, exit status {status}")

        back = fixture.Server(arguments, *flags, f"--listen={killed.address}")
        stack.callback(back.process.kill)
        before = envoy.hosts()[killed.address][1]
        wait_for(lambda: envoy.hosts()[killed.address][1] > before, "the server that came back gets calls")
        load.wait_for_more()
    print(f"{load.answered} answered, {load.wrong} wrong, {load.lost} lost, {len(load.failures)} attempts failed")
    assert survivor.process.poll() is None and back.process.poll() is None
    assert status == 0, f"the drained server ended with status {status}"
    assert load.wrong == 0, "wrong answers"
    assert load.lost == 0, "calls were lost although the caller repeated them"
    assert after_kill <= CALLERS, "more attempts failed than calls can have been in flight on the killed server"
    assert len(load.failures) == after_kill, f"a drain or a return failed calls: {load.failures[after_kill:]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="path of flashcore_server")
    parser.add_argument("--envoy", required=True, help="path of envoy")
    parser.add_argument("--protoc", default="protoc", help="path of protoc")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    arguments.backend = "cpu"
    print(f"seed: {arguments.seed}", flush=True)
    messages = fixture.load_messages(arguments.protoc)[0]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        check(arguments, messages, stack, folder)
    print("no call was lost")


if __name__ == "__main__":
    main()
