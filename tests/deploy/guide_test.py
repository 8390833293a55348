#!/usr/bin/python3
"""The guide's "Certificates and tokens", run as it stands: the commands, then a server and a client with what they made."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
import fixture  # pylint: disable=wrong-import-position

SERVER, ATTEND = os.environ.get("FLASHCORE_SERVER"), os.environ.get("FLASHCORE_ATTEND")
SKIPPED = 77


def blocks(heading):
    """The code blocks of the guide below that heading."""
    guide = (fixture.ROOT / "deploy/README.md").read_text()
    section = re.search(rf"^#+ {heading}\n(.*?)^#", guide, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class GuideTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        before = os.getcwd()
        # The guide's paths are relative.
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        commands, self.server, self.client = blocks("Certificates and tokens")
        made = subprocess.run(["bash", "-euc", commands], text=True, capture_output=True, timeout=60, check=False)
        self.assertEqual(made.returncode, 0, made)

    def attend(self, address, drop=""):
        """The guide's call to `address`, without the flags that match `drop`."""
        arguments = [argument for argument in self.client.split()[1:] if not (drop and re.match(drop, argument))]
        return subprocess.run([ATTEND, *arguments, "--shape=1,1,8,8", f"--target={address}"], text=True, capture_output=True,
                              timeout=120, check=False)

    def test_a_server_and_a_client(self):
        self.assertEqual(self.server.split()[0], "flashcore_server")
        flags = [argument for argument in self.server.split()[1:] if not argument.startswith("--listen")]
        arguments = argparse.Namespace(server=SERVER, backend="cpu")
        with fixture.Server(arguments, *flags, "--cpu_threads=1") as server:
            answer = self.attend(server.address)
            self.assertEqual(answer.returncode, 0, answer)
            self.assertIn("right", answer.stdout)
            for drop, complaint in (("--tls_(cert|key)", "give tls_cert and tls_key"), ("--auth", "give auth_token_file"),
                                    ("--tls_ca", "give its authority's certificate as tls_ca"), ("--", "use tls")):
                refused = self.attend(server.address, drop)
                self.assertEqual(refused.returncode, 1, refused)
                self.assertIn(complaint, refused.stderr)

    def test_nobody_else_can_read_what_is_secret(self):
        for name in ("ca.key", "server.key", "client.key", "token", "tokens"):
            self.assertEqual(os.stat(name).st_mode & 0o077, 0, name)


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        print("skipped: no openssl (Debian and Ubuntu: openssl)")
        sys.exit(SKIPPED)
    unittest.main()
