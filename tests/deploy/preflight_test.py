#!/usr/bin/python3
"""deploy/l4/preflight.sh and env.sh on machines that are ready, not ready, and not what they should be."""

import json
import socket
import subprocess
import unittest

from fakes import FakeMachine, L4, ROOT

PASS, WARNING, CRITICAL = 0, 1, 2


class PreflightTest(FakeMachine):
    def setUp(self):
        super().setUp()
        self.proc = self.folder / "proc"
        (self.proc / "driver/nvidia").mkdir(parents=True)
        self.allow_profiling(True)

    def allow_profiling(self, allowed):
        (self.proc / "driver/nvidia/params").write_text(f"ResmanDebugLevel: 1\nRmProfilingAdminOnly: {int(not allowed)}\n")

    def make_good(self):
        self.fake_nvidia_smi(L4)
        self.fake("docker", "echo 'Docker version 28.2.2'\n")
        self.fake("nvidia-ctk", "echo 'NVIDIA Container Toolkit CLI version 1.17.8'\n")
        toolkit = self.fake_toolkit("toolkits", "13.0")
        (toolkit / "bin/ncu").symlink_to("/bin/true")

    def preflight(self, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return self.run_script("deploy/l4/preflight.sh", "--proc", str(self.proc), "--disk", str(self.folder),
                               "--ports", str(port), *arguments)

    def checks(self, *arguments):
        """The exit status, and the level of each check by name."""
        result = self.preflight("--json", *arguments)
        report = json.loads(result.stdout)
        self.assertEqual(report["exit_status"], result.returncode, result)
        self.assertEqual(report["status"], ["pass", "warning", "critical"][result.returncode])
        self.assertTrue(all(check["detail"] for check in report["checks"]))
        levels = {check["name"]: check["level"] for check in report["checks"]}
        levels.pop("disk")  # This machine's own.
        return result.returncode, levels

    def assert_only(self, levels, **expected):
        unexpected = {name: level for name, level in levels.items() if level != "pass" and name not in expected}
        self.assertEqual(unexpected, {})
        self.assertEqual({name: levels[name] for name in expected}, expected)

    def test_a_good_machine_passes_every_check(self):
        self.make_good()
        _, levels = self.checks()
        self.assert_only(levels)
        self.assertEqual(set(levels), {"driver", "gpu_name", "gpu_memory", "compute_capability", "persistence",
                                       "temperature", "profiling", "toolkit", "ncu", "docker", "container_toolkit", "ports"})

    def test_no_driver(self):
        self.make_good()
        (self.bin / "nvidia-smi").unlink()
        status, levels = self.checks()
        self.assertEqual(status, CRITICAL)
        self.assert_only(levels, driver="critical")

    def test_a_driver_without_a_gpu(self):
        self.make_good()
        self.fake_nvidia_smi(None)
        status, levels = self.checks()
        self.assertEqual(status, CRITICAL)
        self.assert_only(levels, driver="critical")

    def test_another_gpu_is_a_warning(self):
        self.make_good()
        self.fake_nvidia_smi({**L4, "name": "NVIDIA H100 80GB HBM3", "compute_cap": "9.0", "memory.total": "81559"})
        status, levels = self.checks()
        self.assertEqual(status, WARNING)
        self.assert_only(levels, gpu_name="warning", compute_capability="warning")
        _, levels = self.checks("--gpu", "NVIDIA H100 80GB HBM3")
        self.assert_only(levels, compute_capability="warning")

    def test_a_gpu_that_is_too_old(self):
        self.make_good()
        self.fake_nvidia_smi({**L4, "name": "Tesla T4", "compute_cap": "7.5", "memory.total": "15360"})
        status, levels = self.checks()
        self.assertEqual(status, CRITICAL)
        self.assert_only(levels, gpu_name="warning", gpu_memory="critical", compute_capability="critical")

    def test_low_memory(self):
        self.make_good()
        self.fake_nvidia_smi({**L4, "memory.total": "11264"})
        status, levels = self.checks()
        self.assertEqual(status, CRITICAL)
        self.assert_only(levels, gpu_memory="critical")

    def test_drivers(self):
        self.make_good()
        for version, level in (("580.65.06", "pass"), ("570.133.20", "warning"), ("470.256.02", "critical"),
                               ("nonsense", "critical")):
            with self.subTest(version):
                self.fake_nvidia_smi({**L4, "driver_version": version})
                self.assertEqual(self.checks()[1]["driver"], level)

    def test_what_a_driver_does_not_tell(self):
        self.make_good()
        self.fake_nvidia_smi({"driver_version": "580.65.06", "name": "NVIDIA L4"})
        status, levels = self.checks()
        self.assertEqual(status, CRITICAL)
        self.assertEqual((levels["gpu_memory"], levels["compute_capability"]), ("critical", "critical"))

    def test_what_only_warns(self):
        self.make_good()
        self.fake_nvidia_smi({**L4, "persistence_mode": "Disabled", "temperature.gpu": "86"})
        self.allow_profiling(False)
        self.fake("docker", "exit 1\n")
        (self.bin / "nvidia-ctk").unlink()
        status, levels = self.checks()
        self.assertEqual(status, WARNING)
        self.assert_only(levels, persistence="warning", temperature="warning", profiling="warning", docker="warning",
                         container_toolkit="warning")

    def test_no_toolkit(self):
        self.fake_nvidia_smi(L4)
        self.fake_toolkit("toolkits", "11.8")
        status, levels = self.checks()
        self.assertEqual(status, WARNING)
        self.assertEqual((levels["toolkit"], levels["ncu"]), ("warning", "warning"))

    def test_a_port_that_is_taken(self):
        self.make_good()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            status, levels = self.checks("--ports", str(taken.getsockname()[1]))
        self.assertEqual(status, WARNING)
        self.assert_only(levels, ports="warning")

    def test_the_table_is_for_people(self):
        result = self.preflight()
        self.assertEqual(result.returncode, CRITICAL)
        self.assertIn("no nvidia-smi", result.stdout)
        self.assertTrue(result.stdout.endswith("\ncritical\n"), result.stdout)

    def test_wrong_usage(self):
        for arguments in (["--jsn"], ["--ports", "a,b"], ["--gpu"]):
            result = self.run_script("deploy/l4/preflight.sh", *arguments)
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")


class EnvironmentTest(FakeMachine):
    def source(self, **environment):
        """The variables after sourcing env.sh twice, or None if it failed."""
        result = subprocess.run(
            ["bash", "-c", 'source "$0" && source "$0" && printf "%s\\n" "$CUDA_HOME" "$PATH" "$LD_LIBRARY_PATH" '
                           '"$CUDA_ARCH" "$CUDAARCHS"', ROOT / "deploy/l4/env.sh"],
            env=self.environment(**environment), text=True, capture_output=True, check=False)
        return result.stdout.splitlines() if result.returncode == 0 else None

    def test_the_newest_toolkit_wins_and_twice_is_once(self):
        for version in ("12.4", "12.10", "11.8"):
            toolkit = self.fake_toolkit("toolkits", version)
        newest = toolkit.parent / "cuda-12.10"
        home, path, libraries, arch, cmake_arch = self.source(LD_LIBRARY_PATH="/opt/other/lib")
        self.assertEqual(home, str(newest))
        self.assertEqual(path.split(":").count(str(newest / "bin")), 1)
        self.assertEqual(path.split(":")[0], str(newest / "bin"))
        self.assertEqual(libraries, f"{newest}/lib64:/opt/other/lib")
        self.assertEqual((arch, cmake_arch), ("8.9", "89-real"))

    def test_cuda_home_comes_first(self):
        self.fake_toolkit("toolkits", "13.0")
        chosen = self.fake_toolkit("elsewhere", "12.8")
        self.assertEqual(self.source(CUDA_HOME=str(chosen))[0], str(chosen))

    def test_a_toolkit_on_the_path(self):
        chosen = self.fake_toolkit("elsewhere", "12.8")
        self.fake("nvcc", "").unlink()
        (self.bin / "nvcc").symlink_to(chosen / "bin/nvcc")
        self.assertEqual(self.source()[0], str(chosen))

    def test_none_is_new_enough(self):
        self.fake_toolkit("toolkits", "12.3")
        self.assertIsNone(self.source())


if __name__ == "__main__":
    unittest.main()
