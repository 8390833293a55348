#!/usr/bin/python3
"""deploy/l4/: keepalive.sh with a real tmux, the VM's scripts dry and with a recorded gcloud, validate.sh with fake programs."""

import json
import pathlib
import shutil
import unittest

from fakes import FakeMachine, L4, ROOT


@unittest.skipUnless(shutil.which("tmux"), "no tmux")
class KeepaliveTest(FakeMachine):
    def keepalive(self, action):
        # TMUX_TMPDIR: a tmux server of the test's own.
        return self.run_script("deploy/l4/keepalive.sh", action, "--session", "test", "--log", str(self.folder / "logs/gpu.log"),
                               TMUX_TMPDIR=str(self.folder))

    def test_start_status_stop_and_again(self):
        self.fake_nvidia_smi(L4)
        self.addCleanup(self.keepalive, "stop")
        self.assertEqual(self.keepalive("status").returncode, 3)
        self.assertIn("does not run", self.keepalive("stop").stdout)
        started = self.keepalive("start")
        self.assertEqual(started.returncode, 0, started)
        self.assertIn("runs already", self.keepalive("start").stdout)
        status = self.keepalive("status")
        self.assertEqual(status.returncode, 0, status)
        self.assertIn("test runs", status.stdout)
        self.assertIn("has ended", self.keepalive("stop").stdout)
        self.assertEqual(self.keepalive("status").returncode, 3)

    def test_without_a_gpu_there_is_nothing_to_record(self):
        result = self.keepalive("start")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no nvidia-smi", result.stderr)

    def test_attaching_to_nothing(self):
        self.assertEqual(self.keepalive("attach").returncode, 2)

    def test_wrong_usage(self):
        for arguments in ([], ["begin"], ["start", "--interval", "often"], ["start", "--sesion", "x"]):
            self.assertEqual(self.run_script("deploy/l4/keepalive.sh", *arguments).returncode, 2, arguments)


class CreateVmTest(FakeMachine):
    def gcloud(self, body):
        self.fake("gcloud", f'echo "gcloud $*" >>"{self.folder}/calls"\n{body}')

    def calls(self):
        return (self.folder / "calls").read_text().splitlines()

    def create(self, *arguments):
        return self.run_script("deploy/l4/create_vm.sh", "--project", "p", *arguments)

    def test_a_dry_run_calls_nothing(self):
        self.gcloud("exit 1\n")
        result = self.create("--dry-run", "--spot")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("--machine-type=g2-standard-8", result.stdout)
        self.assertIn("--provisioning-model=SPOT", result.stdout)
        self.assertIn("bootstrap_vm.sh", result.stdout)
        self.assertFalse((self.folder / "calls").exists())

    def test_creates_copies_and_bootstraps(self):
        self.gcloud('[[ "$*" != *describe* ]]\n')
        result = self.create()
        self.assertEqual(result.returncode, 0, result)
        verbs = [" ".join(call.split()[2:4]) for call in self.calls()]
        self.assertEqual(verbs[:3], ["instances describe", "instances create", "ssh flashcore-l4"])
        self.assertIn("bootstrap_vm.sh", self.calls()[-1])

    def test_what_is_there_is_not_created_again(self):
        self.gcloud("exit 0\n")
        result = self.create()
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("is there already", result.stdout)
        self.assertFalse([call for call in self.calls() if " create " in call])

    def test_a_restart_in_between(self):
        self.fake("sleep", "")
        self.gcloud(f'''
if [[ "$*" == *bootstrap* && ! -e "{self.folder}/restarted" ]]; then touch "{self.folder}/restarted"; exit 3; fi
''')
        result = self.create()
        self.assertEqual(result.returncode, 0, result)
        commands = [call.split("--command ")[-1] for call in self.calls() if "--command" in call]
        self.assertIn("sudo systemctl reboot", commands)
        self.assertEqual(sum("bootstrap" in command for command in commands), 2)

    def test_a_failed_bootstrap_fails(self):
        self.gcloud('[[ "$*" != *bootstrap* ]]\n')
        result = self.create()
        self.assertEqual(result.returncode, 2)
        self.assertIn("status 1", result.stderr)

    def test_delete(self):
        self.gcloud("")
        self.assertEqual(self.create("--delete").returncode, 0)
        self.assertEqual(len(self.calls()), 1)
        self.assertIn("instances delete flashcore-l4", self.calls()[0])

    def test_wrong_usage(self):
        self.assertEqual(self.run_script("deploy/l4/create_vm.sh", "--dry-run").returncode, 2)
        self.assertEqual(self.create("--name", "Not A Name", "--dry-run").returncode, 2)


class BootstrapVmTest(FakeMachine):
    def test_a_dry_run_runs_nothing(self):
        for program in ("sudo", "apt-get", "systemctl", "modprobe", "update-initramfs"):
            self.fake(program, f'echo "{program} $*" >>"{self.folder}/calls"\n')
        result = self.run_script("deploy/l4/bootstrap_vm.sh", "--dry-run", "--driver", "575")
        self.assertEqual(result.returncode, 0, result)
        for wanted in ("nvidia-headless-575-server-open", "docker-compose-v2", "nvidia-container-toolkit",
                       "NVreg_RestrictProfilingToAdminUsers=0", "up --detach --build --wait"):
            self.assertIn(wanted, result.stdout)
        self.assertFalse((self.folder / "calls").exists())

    def test_what_is_there_is_left_alone(self):
        self.fake_nvidia_smi(L4)
        self.fake("docker", "echo 'Docker version 28.2.2'\n")
        result = self.run_script("deploy/l4/bootstrap_vm.sh", "--dry-run", "--no-start")
        self.assertEqual(result.returncode, 0, result)
        self.assertNotIn("nvidia-headless", result.stdout)
        self.assertNotIn("docker.io", result.stdout)
        self.assertNotIn("up --detach", result.stdout)


class ValidateTest(FakeMachine):
    """A bundle of scripts that write what the real programs would."""

    def setUp(self):
        super().setUp()
        self.fake_nvidia_smi(L4)
        self.bundle = self.folder / "bundle"
        (self.bundle / "bin").mkdir(parents=True)
        (self.bundle / "VERSION").write_text("commit    0123456789ab\n")
        tests = {"testsuites": [{"testsuite": [{"name": "FoundingGrid/0", "value_param": '"fused"', "result": "COMPLETED"}]}],
                 "time": "1s"}
        self.program("cuda_attention_test", self.writes("--gtest_output=json:", {**tests}))
        load = {"answered": 100, "failed": 0, "good": True, "requests_per_s": 420.0, "gflop_per_s": 226.0,
                "latency_ms": {"p50": 1.9, "p99": 6.3}, "verified": {"checked": 5, "wrong": 0, "max_error": 2e-4}}
        self.program("flashcore_load", self.writes("--json=", load))
        self.program("flashcore_server", "trap 'exit 0' TERM\necho msg=serving >&2\nwhile true; do sleep 0.1; done\n")
        self.bench(fused_us=31.5)

    def program(self, name, script):
        path = self.bundle / "bin" / name
        path.write_text("#!/bin/bash\n" + script)
        path.chmod(0o755)

    @staticmethod
    def writes(flag, content):
        return (f'for argument in "$@"; do [[ "$argument" != {flag}* ]] || file="${{argument#{flag}}}"; done\n'
                f"cat >\"$file\" <<'JSON'\n{json.dumps(content)}\nJSON\n")

    def bench(self, fused_us):
        def result(kernel, time_us):
            return {"shape": "1,8,512,64", "kernel": kernel, "verdict": "correct", "tflops": 10.0,
                    "graph_rotated": {"median_us": time_us}, "graph_resident": {"median_us": time_us}}
        results = [result("scalar", 1480.0), result("wmma", 150.0), result("fused", fused_us), result("auto", fused_us)]
        self.program("flashcore_kernel_bench", self.writes("--json=", {
            "date": "2026-01-01", "commit": "0123456789ab", "results": results,
            "device": {"name": "NVIDIA L4", "driver": "580", "sm_count": 58, "power_limit_watts": 72}}))

    def validate(self):
        result = self.run_script("deploy/l4/validate.sh", "--bundle", str(self.bundle), "--output", str(self.folder / "out"))
        report = self.folder / "out/report.md"
        return result, report.read_text() if report.exists() else ""

    def test_targets_that_are_met(self):
        result, report = self.validate()
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("| fused | 31.5 | 31.5 | correct | < 58 us, the primary goal | yes |", report)
        self.assertIn("| mission-alone | 100 | 0 | 1.900 | 6.300 | 420 | 5 | 0 |", report)
        self.assertIn("Everything is right", report)
        self.assertNotIn("This is not an", report)

    def test_a_target_that_is_missed(self):
        self.bench(fused_us=60.0)
        result, report = self.validate()
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("| < 58 us, the primary goal | **no** |", report)

    def test_a_step_that_crashes_is_in_the_report(self):
        self.program("cuda_attention_test", "exit 139\n")
        result, report = self.validate()
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("| none ran | **no** |", report)
        self.assertIn("cases: exit status 139", report)

    def test_without_a_gpu_it_does_not_begin(self):
        (self.bin / "nvidia-smi").unlink()
        result, report = self.validate()
        self.assertEqual((result.returncode, report), (2, ""))


class ScriptsTest(unittest.TestCase):
    def test_every_script_has_help(self):
        scripts = sorted(path for path in pathlib.Path(ROOT / "deploy").rglob("*.sh")
                         if path.name not in {"packages.sh", "machine.sh", "env.sh", "build.sh"})
        self.assertGreater(len(scripts), 5)
        for script in scripts:
            self.assertIn("--help | -h) usage", script.read_text(), script)


if __name__ == "__main__":
    unittest.main()
