#!/usr/bin/python3
"""The systemd unit: systemd's own verification, and its exposure score held to a limit. Only ever lower the limit."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/systemd/flashcore.service"
MAX_EXPOSURE = 1.6  # Of 10, by `systemd-analyze security`; a unit without hardening scores 9.6.
SKIPPED = 77


def run(*command):
    return subprocess.run(command, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


class UnitTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.text = UNIT.read_text()

    def unit(self, text):
        """The unit in a folder where the programs it starts are there."""
        (self.folder / "bin").mkdir(exist_ok=True)
        for program in ("flashcore_server", "flashcore_health"):
            path = self.folder / "bin" / program
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        path = self.folder / UNIT.name
        path.write_text(text.replace("/opt/flashcore", str(self.folder)))
        return path

    def verify(self, text):
        return run("systemd-analyze", "verify", "--man=no", str(self.unit(text))).stderr.replace(str(self.folder), "")

    def exposure(self, text):
        output = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(self.unit(text))).stdout
        return float(re.search(r"Overall exposure level for \S+ ([0-9.]+)", output)[1])

    def test_systemd_finds_nothing_to_complain_about(self):
        self.assertEqual([line for line in self.verify(self.text).splitlines() if "flashcore" in line], [])

    def test_the_verification_sees_mistakes(self):
        self.assertIn("Unknown key", self.verify(self.text.replace("ProtectHome=", "ProtectHouse=")))

    def drop_in(self, text):
        """What systemd says of the unit with tls.conf beside it."""
        unit = self.unit(self.text)
        folder = self.folder / f"{UNIT.name}.d"
        folder.mkdir(exist_ok=True)
        (folder / "tls.conf").write_text(text)
        return run("systemd-analyze", "verify", "--man=no", str(unit)).stderr.replace(str(self.folder), "")

    def test_the_drop_in_for_tls(self):
        text = (ROOT / "deploy/systemd/tls.conf").read_text()
        self.assertEqual([line for line in self.drop_in(text).splitlines() if "flashcore" in line], [])
        self.assertIn("Unknown key", self.drop_in(text.replace("Environment=", "Environments=")))
        self.assertIn("$FLASHCORE_ARGUMENTS", re.search(r"^ExecStart=(.*)$", self.text, re.MULTILINE)[1])

    def test_the_guide_s_drop_in_with_credentials(self):
        text = re.search(r"^```\n(\[Service\]\n.*?)^```$", (ROOT / "deploy/README.md").read_text(), re.MULTILINE | re.DOTALL)[1]
        self.assertEqual([line for line in self.drop_in(text).splitlines() if "flashcore" in line], [])
        credentials = re.findall(r"^LoadCredential=([^:]+):\S+$", text, re.MULTILINE)
        self.assertEqual(re.findall(r"=%d/([\w.]+)", text), credentials)

    def test_the_exposure_is_within_its_limit(self):
        exposure = self.exposure(self.text)
        print(f"exposure {exposure}, limit {MAX_EXPOSURE}")
        self.assertLessEqual(exposure, MAX_EXPOSURE)
        self.assertGreater(self.exposure(self.text.replace("CapabilityBoundingSet=\n", "")), MAX_EXPOSURE)

    def test_there_is_time_to_drain(self):
        stop_s = int(re.search(r"^TimeoutStopSec=(\d+)s$", self.text, re.MULTILINE)[1])
        flags = (ROOT / "deploy/systemd/flags").read_text()
        drain = re.search(r"^--drain_timeout=(\d+)s$", flags, re.MULTILINE)
        self.assertGreater(stop_s, int(drain[1]) if drain else 30)

    def test_the_account_exists(self):
        user = re.search(r"^User=(\S+)$", self.text, re.MULTILINE)[1]
        self.assertRegex((ROOT / "deploy/systemd/flashcore.sysusers").read_text(), rf"^u {user} ")


if __name__ == "__main__":
    if shutil.which("systemd-analyze") is None:
        print("skipped: no systemd-analyze (Debian and Ubuntu: systemd)")
        sys.exit(SKIPPED)
    unittest.main()
