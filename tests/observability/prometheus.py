"""A real Prometheus with the configuration and rules that are deployed, only impatient, and targets for it."""

import http.server
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

import promql

PROMETHEUS = shutil.which("prometheus")
START_SECONDS = 60
STOP_SECONDS = 60
QUERY_SECONDS = 30
LISTENING = re.compile(r'msg="Listening on" address=(\S+)')
READY = "Server is ready to receive web requests"
# No proxy of the environment is asked for a server on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url):
    with OPENER.open(url, timeout=QUERY_SECONDS) as response:
        return response.read().decode()


class Prometheus:
    """A context manager. `targets`: what the job flashcore scrapes."""

    def __init__(self, targets):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="flashcore-prometheus-"))
        config = self.folder / "config"
        shutil.copytree(promql.RULES.parent, config)
        shutil.rmtree(config / "targets")
        (config / "targets").mkdir()
        (config / "targets" / "flashcore.yaml").write_text(json.dumps([{"targets": targets}]), encoding="utf-8")
        (config / "prometheus.yaml").write_text(self.impatient(config / "prometheus.yaml"), encoding="utf-8")
        self.process = subprocess.Popen(
            [PROMETHEUS, f"--config.file={config / 'prometheus.yaml'}", f"--storage.tsdb.path={self.folder / 'data'}",
             "--web.listen-address=127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.address = None
        self._ready = threading.Event()
        self._ended = False
        threading.Thread(target=self._read_log, daemon=True).start()
        if not self._ready.wait(START_SECONDS) or self._ended:
            self.__exit__(None, None, None)
            raise RuntimeError("prometheus is not ready:\n" + "".join(self.log))

    @staticmethod
    def impatient(path):
        """The configuration, scraping and evaluating every second."""
        text, count = re.subn(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 1s", path.read_text(encoding="utf-8"))
        assert count == 2, f"{path} should set both intervals, once"
        return text

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            if found := LISTENING.search(line):
                self.address = found.group(1)
            if READY in line:
                self._ready.set()
        self._ended = True
        self._ready.set()

    def get(self, path, **parameters):
        """The `data` of an answer of the HTTP API. ValueError with Prometheus' own words if it refuses."""
        try:
            answer = json.loads(fetch(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        except urllib.error.HTTPError as error:
            raise ValueError(f"HTTP {error.code}: {error.read().decode()}") from error
        if answer["status"] != "success" or answer.get("warnings"):
            raise ValueError(str(answer))
        return answer["data"]

    def samples(self, expr):
        """The values of an instant query, those that are no number left out."""
        data = self.get("query", query=expr)
        samples = [data["result"]] if data["resultType"] == "scalar" else [each["value"] for each in data["result"]]
        return [float(value) for _, value in samples if value != "NaN"]

    def rules(self):
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class RecordedTarget:
    """Serves recorded scrapes as /metrics, one after the other, then the last one for ever. A context manager."""

    def __init__(self, scrapes):
        waiting = list(scrapes)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                body = (waiting.pop(0) if len(waiting) > 1 else waiting[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.server.shutdown()
        self.server.server_close()


class DeadTarget:
    """An address at which nobody answers, and nobody else can come to. A context manager."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.socket.close()
