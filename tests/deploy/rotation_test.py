#!/usr/bin/python3
"""Certificates, keys and tokens replaced under load: no call may fail, and the new ones must be in use.

A real server that wants client certificates and tokens, and flashcore_load, which has to make a new connection every second.
Files are replaced in the two ways that there are: each by a rename, and all at once by the swap of a symbolic link, as Kubernetes
does with a mounted Secret. One replacement is no good, and must change nothing.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
import fixture  # pylint: disable=wrong-import-position

WAIT_SECONDS = 60
SKIPPED = 77
# How long a client may go on with a token after its file was replaced, with a lot of room: client/token_file.h says a second.
TOKEN_GRACE_SECONDS = 3


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


class Authority:
    def __init__(self, folder):
        self.key, self.certificate = folder / "ca.key", folder / "ca.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                "-subj", "/CN=rotation test", "-keyout", str(self.key), "-out", str(self.certificate))

    def issue(self):
        """{tls.crt: ..., tls.key: ...}, for a server on this machine and for a client."""
        with tempfile.TemporaryDirectory() as folder:
            names = {name: str(pathlib.Path(folder) / name) for name in ("tls.key", "tls.csr", "tls.crt", "san")}
            pathlib.Path(names["san"]).write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test",
                    "-keyout", names["tls.key"], "-out", names["tls.csr"])
            openssl("x509", "-req", "-days", "1", "-in", names["tls.csr"], "-CA", str(self.certificate), "-CAkey", str(self.key),
                    "-CAcreateserial", "-extfile", names["san"], "-out", names["tls.crt"])
            return {name: pathlib.Path(names[name]).read_text() for name in ("tls.crt", "tls.key")}


class RenamedFiles:
    """A folder whose files are replaced one after the other, each by a rename."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def replace(self, files):
        for name, text in files.items():
            fresh = self.folder / f".{name}.new"
            fresh.write_text(text)
            fresh.rename(self.folder / name)


class MountedSecret:
    """A folder as Kubernetes mounts a Secret: name -> ..data/name, and ..data -> a folder of its own for each version."""

    def __init__(self, folder):
        self.folder = folder
        self.version = 0
        folder.mkdir()

    def replace(self, files):
        self.version += 1
        version = self.folder / f"..{self.version}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        data = self.folder / "..data"
        old = data.resolve() if data.is_symlink() else None
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.rename(data)
        if old is not None:
            shutil.rmtree(old)


class Server(fixture.Server):
    """One that wants certificates and tokens, and looks at its files often. `folder` has them; `authority` signs clients."""

    def __init__(self, arguments, folder, authority):
        super().__init__(arguments, "--cpu_threads=1", "--staging_bytes=67108864", "--max_batch_bytes=67108864",
                         f"--tls_cert={folder}/tls.crt", f"--tls_key={folder}/tls.key", f"--tls_client_ca={authority}",
                         f"--auth_tokens_file={folder}/tokens", "--tls_reload_period=100ms", "--max_connection_age=1s")

    def metric(self, name):
        """The sum of its series."""
        address = re.sub(r"^(http://)?([^/]*).*$", r"\2", self.metrics_address)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_SECONDS) as answer:
            values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", answer.read().decode(), re.MULTILINE)
        return sum(float(value) for value in values)

    def shown(self, client):
        """SHA-256 of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=client / "ca.crt")
        context.load_cert_chain(client / "tls.crt", client / "tls.key")
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=WAIT_SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname=host) as connection:
                return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def wait_for(condition, what):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")


def fingerprint(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class Rotation:
    """What the files of both sides hold, and how they come to hold something else."""

    def __init__(self, kind, work, authority):
        self.authority = authority
        self.server_files = kind(work / "server")
        self.client_files = kind(work / "client")
        self.ca = authority.certificate.read_text()
        self.token = self.new_token()
        self.server, self.client = authority.issue(), authority.issue()
        self.write([self.token])

    @staticmethod
    def new_token():
        return secrets.token_hex(32)

    def write(self, tokens):
        """`tokens` are those that the server takes; the client has the last."""
        self.server_files.replace({**self.server, "tokens": "".join(f"test:{token}\n" for token in tokens)})
        self.client_files.replace({**self.client, "ca.crt": self.ca, "token": f"{tokens[-1]}\n"})

    def rotate(self, server):
        """As SECURITY.md says: the server learns the new token, then clients get it, then the server forgets the old one."""
        old, self.token = self.token, self.new_token()
        self.server, self.client = self.authority.issue(), self.authority.issue()
        tokens = f"test:{old}\ntest:{self.token}\n"
        self.server_files.replace({**self.server, "tokens": tokens})
        wait_for(lambda: server.metric("flashcore_auth_tokens") == 2, "both tokens are valid")
        self.client_files.replace({**self.client, "ca.crt": self.ca, "token": f"{self.token}\n"})
        time.sleep(TOKEN_GRACE_SECONDS)
        self.server_files.replace({**self.server, "tokens": f"test:{self.token}\n"})
        wait_for(lambda: server.metric("flashcore_auth_tokens") == 1, "the old token is forgotten")
        self.wait_until_shown(server)

    def break_and_mend(self, server):
        """A key that is another certificate's, and no token at all: what was in use stays in use."""
        failures = ("flashcore_tls_reload_failures_total", "flashcore_auth_reload_failures_total")
        before = [server.metric(name) for name in failures]
        broken = {**self.server, "tls.key": self.authority.issue()["tls.key"], "tokens": "\n"}
        self.server_files.replace(broken)
        for name, count in zip(failures, before):
            wait_for(lambda name=name, count=count: server.metric(name) > count, f"{name} counts")
        self.wait_until_shown(server)
        self.server_files.replace({**self.server, "tokens": f"test:{self.token}\n"})

    def wait_until_shown(self, server):
        expected = fingerprint(self.server["tls.crt"])
        wait_for(lambda: server.shown(self.client_files.folder) == expected, "the new certificate is shown")


def start_load(program, address, client, report):
    return subprocess.Popen(
        [program, f"--target={address}", "--mix=1,2,64,64", "--concurrency=4", "--channels=4", "--duration=10m", "--warmup=0",
         "--allow_invalid", "--wait_ready=60s", f"--tls_ca={client}/ca.crt", f"--tls_cert={client}/tls.crt",
         f"--tls_key={client}/tls.key", f"--auth_token_file={client}/token", f"--json={report}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(load, report):
    """The report of a run that is ended early."""
    load.send_signal(signal.SIGINT)
    output = load.communicate(timeout=WAIT_SECONDS)[0]
    assert load.returncode == 0, f"the load ended with status {load.returncode}:\n{output}"
    return json.loads(report.read_text())


def turn_files_over(arguments, rotation, server, load):
    answered = "flashcore_stage_duration_seconds_count"
    wait_for(lambda: server.metric(answered) > 0, "the first answer")
    for turn in range(arguments.rotations):
        rotation.rotate(server)
        if turn == 0:
            rotation.break_and_mend(server)
        before = server.metric(answered)
        wait_for(lambda before=before: server.metric(answered) > before, "answers after a rotation")
        assert load.poll() is None, load.communicate()[0]


def check(arguments, kind, work):
    rotation = Rotation(kind, work, Authority(work))
    client, report = rotation.client_files.folder, work / "report.json"
    with Server(arguments, rotation.server_files.folder, work / "ca.crt") as server:
        load = start_load(arguments.load, server.address, client, report)
        try:
            turn_files_over(arguments, rotation, server, load)
            reloads = server.metric("flashcore_tls_reloads_total")
            result = finish(load, report)
            refused = server.metric("flashcore_auth_failures_total")
        finally:
            load.kill()
    print(f"{kind.__name__}: {arguments.rotations} rotations, {reloads:.0f} reloads, {result['answered']} answered, "
          f"{result['failed']} failed, {refused:.0f} calls refused", flush=True)
    assert result["failed"] == 0 and refused == 0 and result["answered"] > 0
    assert reloads >= arguments.rotations
    everything = "".join(server.log)
    assert rotation.token not in everything, "a token is in the server's log"
    assert "PRIVATE KEY" not in everything, "a key is in the server's log"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=os.environ.get("FLASHCORE_SERVER"), help="path of flashcore_server")
    parser.add_argument("--load", default=os.environ.get("FLASHCORE_LOAD"), help="path of flashcore_load")
    parser.add_argument("--rotations", type=int, default=2, help="for each way of replacing files")
    arguments = parser.parse_args()
    arguments.backend = "cpu"
    if shutil.which("openssl") is None:
        print("skipped: no openssl (Debian and Ubuntu: openssl)")
        sys.exit(SKIPPED)
    for kind in (RenamedFiles, MountedSecret):
        with tempfile.TemporaryDirectory() as folder:
            check(arguments, kind, pathlib.Path(folder))
    print("no call failed")


if __name__ == "__main__":
    main()
