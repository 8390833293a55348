#!/usr/bin/python3
"""deploy/envoy/tls.yaml added to envoy.yaml, run for real: TLS with client certificates on both sides of Envoy, tokens passed through.

The certificates are made by the guide's own commands. Whoever lacks one, or the token, must not get through.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import tempfile

import envoy_check
import guide_test
import yaml
from envoy_check import fixture, wait_for


def replace_files(value, folder):
    """The same with the files of this run."""
    if isinstance(value, dict):
        return {key: replace_files(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_files(item, folder) for item in value]
    names = {"envoy.crt": "server.crt", "envoy.key": "server.key", "ca.crt": "ca.crt"}
    if isinstance(value, str) and value.startswith("/etc/envoy/tls/"):
        return str(folder / names[pathlib.PurePath(value).name])
    return value


class Envoy(envoy_check.Envoy):
    @staticmethod
    def config(servers, folder):
        config = envoy_check.Envoy.config(servers, folder)
        resources = config["static_resources"]
        sockets = replace_files(yaml.safe_load((fixture.ROOT / "deploy/envoy/tls.yaml").read_text()), folder)
        resources["listeners"][0]["filter_chains"][0]["transport_socket"] = sockets["listener"]
        resources["clusters"][0]["transport_socket"] = sockets["cluster"]
        return config


def check(arguments, stack, folder):
    os.chdir(folder)
    commands, server_line, client_line = guide_test.blocks("Certificates and tokens")
    subprocess.run(["bash", "-euc", commands], check=True, capture_output=True, timeout=60)
    flags = [argument for argument in server_line.split()[1:] if not argument.startswith("--listen")]
    servers = [fixture.Server(arguments, *flags, "--cpu_threads=1", "--staging_bytes=67108864", "--max_batch_bytes=67108864")
               for _ in range(3)]
    for server in servers:
        stack.callback(server.process.kill)
    envoy = stack.enter_context(Envoy(arguments.envoy, servers, folder))
    wait_for(lambda: len(envoy.healthy()) == 3, "three servers that pass Envoy's health checks over TLS")

    def attend(*drop):
        kept = [argument for argument in client_line.split()[1:] if not argument.startswith(drop)]
        return subprocess.run([arguments.attend, *kept, "--shape=1,1,8,8", f"--target={envoy.address}"], text=True,
                              capture_output=True, timeout=120, check=False)

    answer = attend()
    assert answer.returncode == 0 and "right" in answer.stdout, answer
    for drop, complaint in ((("--tls_cert", "--tls_key"), "give tls_cert and tls_key"), (("--auth",), "give auth_token_file"),
                            (("--tls_ca",), "give its authority's certificate"), (("--",), "use tls")):
        refused = attend(*drop)
        assert refused.returncode == 1 and complaint in refused.stderr, (drop, refused)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="path of flashcore_server")
    parser.add_argument("--attend", required=True, help="path of flashcore_attend")
    parser.add_argument("--envoy", required=True, help="path of envoy")
    arguments = parser.parse_args()
    arguments.backend = "cpu"
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Before the folder goes.
        stack.callback(os.chdir, os.getcwd())
        check(arguments, stack, folder)
    print("TLS on both sides of Envoy")


if __name__ == "__main__":
    main()
