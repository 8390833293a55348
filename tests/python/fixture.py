"""What every test here starts from: stubs made from the .proto files alone, and a real server in a process of its own.

Nothing here or beside it uses FlashCore's C++ client, so that a mistake shared by its two ends is not shared by this one.
"""

import argparse
import atexit
import importlib
import json
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

try:
    import google.protobuf
    import grpc
    import numpy
except ImportError as missing:
    print(f"skipped: {missing} (Debian and Ubuntu: python3-grpcio python3-protobuf python3-numpy)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 60
DRAIN_SECONDS = 60
MAX_MESSAGE_BYTES = 8 << 20


def parse_arguments(description, default_count):
    """The command line that all tests share. The seed is always printed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", required=True, help="path of flashcore_server")
    parser.add_argument("--protoc", default="protoc", help="path of protoc")
    parser.add_argument("--backend", default="auto", help="the server's --backend")
    parser.add_argument("--count", type=int, default=default_count, help="requests to send")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed: {arguments.seed} (grpc {grpc.__version__}, protobuf {google.protobuf.__version__}, "
          f"numpy {numpy.__version__})", flush=True)
    return arguments


def load_messages(protoc):
    """Compiles the .proto files and imports the results: (attention_pb2, health_pb2, reflection_pb2)."""
    folder = tempfile.mkdtemp(prefix="flashcore-python-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    here = pathlib.Path(__file__).resolve().parent
    subprocess.run([protoc, f"--python_out={folder}", f"-I{ROOT / 'proto'}", f"-I{here}",
                    "flashcore/v1/attention.proto", "grpc/health/v1/health.proto", "reflection_subset.proto"],
                   check=True, cwd=folder)
    # The folder grpc/ of the generated code would hide the package grpc: import from inside it instead.
    sys.path[:0] = [folder, os.path.join(folder, "grpc", "health", "v1")]
    return tuple(importlib.import_module(name)
                 for name in ("flashcore.v1.attention_pb2", "health_pb2", "reflection_subset_pb2"))


class Server:
    """A flashcore_server on ports that the kernel chose. A context manager: on the way out it must drain and exit 0."""

    def __init__(self, arguments, *flags):
        self.process = subprocess.Popen(
            [arguments.server, f"--backend={arguments.backend}", "--listen=127.0.0.1:0",
             "--metrics_address=127.0.0.1:0", "--log_format=json", f"--max_message_bytes={MAX_MESSAGE_BYTES}", *flags],
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.log = []
        self._events = queue.Queue()
        threading.Thread(target=self._read_log, daemon=True).start()
        addresses = self._wait_until_serving()
        self.address, self.metrics_address = addresses["listening"], addresses["metrics"]

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            try:
                self._events.put(json.loads(line))
            except ValueError:
                sys.stderr.write(line)
        self._events.put(None)

    def _wait_until_serving(self):
        """{message: address} of the log's lines up to the one that says `serving`."""
        addresses = {}
        while True:
            event = self._events.get(timeout=START_SECONDS)
            if event is None:
                raise RuntimeError("the server ended while starting:\n" + "".join(self.log))
            if "address" in event:
                addresses[event["msg"]] = event["address"]
            if event["msg"] == "serving":
                return addresses

    def rss_bytes(self):
        """Resident memory now."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def sanitized(self):
        """Whether it runs under a sanitizer, whose own memory grows."""
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii", errors="replace") as maps:
            text = maps.read()
        return "libasan" in text or "libtsan" in text

    def channel(self):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, options)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "no exit: killed"
        if kind is not None or status != 0:
            sys.stderr.write("the server's log:\n" + "".join(self.log[-40:]))
        if kind is None and status != 0:
            raise AssertionError(f"SIGTERM should lead to exit status 0, not {status}")
