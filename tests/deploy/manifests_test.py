#!/usr/bin/python3
"""What the deployment files must agree on among themselves, and with the server that they start."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

try:
    import yaml
except ImportError:
    print("skipped: no yaml (Debian and Ubuntu: python3-yaml)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVER = os.environ.get("FLASHCORE_SERVER")
GRPC_PORT, METRICS_PORT = 50051, 9464
DEFAULT_DRAIN_S = 30


def load(path):
    return yaml.safe_load((DEPLOY / path).read_text())


def load_all(path):
    return [document for document in yaml.safe_load_all((DEPLOY / path).read_text()) if document]


def drain_seconds(arguments):
    for argument in arguments:
        if match := re.fullmatch(r"--drain_timeout=(\d+)s", argument):
            return int(match[1])
    return DEFAULT_DRAIN_S


def flag_file(path):
    lines = (DEPLOY / path).read_text().splitlines()
    return [line for line in lines if line.startswith("--")]


class FlagsTest(unittest.TestCase):
    @unittest.skipUnless(SERVER, "FLASHCORE_SERVER does not name the server")
    def assert_server_takes(self, *arguments):
        """The server reads every flag: it complains only of what is wrong on purpose, which it looks at later."""
        result = subprocess.run([SERVER, *arguments, "--listen=", "--unix_socket="], text=True, capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertIn("nobody could call", result.stderr)
        self.assertEqual(result.returncode, 1)

    def test_flag_files(self):
        for path in ("docker/cuda.flags", "docker/cpu.flags", "systemd/flags"):
            with self.subTest(path):
                self.assert_server_takes(f"--flagfile={DEPLOY / path}")

    def test_arguments_in_kubernetes(self):
        container = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"][0]
        self.assert_server_takes(f"--flagfile={DEPLOY / 'docker/cuda.flags'}", *container["args"])

    def test_ports(self):
        for path, host in (("docker/cuda.flags", "0.0.0.0"), ("docker/cpu.flags", "0.0.0.0"), ("systemd/flags", "127.0.0.1")):
            self.assertIn(f"--listen={host}:{GRPC_PORT}", flag_file(path))
            self.assertIn(f"--metrics_address={host}:{METRICS_PORT}", flag_file(path))


class DockerTest(unittest.TestCase):
    FILES = ("Dockerfile", "Dockerfile.cpu")

    def test_both_images_read_the_same_files(self):
        first, second = ((DEPLOY / "docker" / f"{name}.dockerignore").read_text() for name in self.FILES)
        self.assertEqual(first, second)

    def test_what_the_images_promise(self):
        for name in self.FILES:
            with self.subTest(name):
                last_stage = (DEPLOY / "docker" / name).read_text().rsplit("\nFROM ", 1)[1]
                self.assertRegex(last_stage, r"\nUSER [1-9]\d*:[1-9]\d*\n")
                self.assertRegex(last_stage, rf"HEALTHCHECK [^\n]*\\\n +CMD .*flashcore_health.*127.0.0.1:{GRPC_PORT}")
                self.assertIn(f"EXPOSE {GRPC_PORT} {METRICS_PORT}\n", last_stage)
                self.assertNotIn("\nRUN ", last_stage)
                for source in re.findall(r"^COPY (?!--from)(.+) \S+$", last_stage, re.MULTILINE):
                    self.assertTrue((ROOT / source).exists(), source)


class ComposeTest(unittest.TestCase):
    def setUp(self):
        self.services = load("docker/compose.yaml")["services"]

    def test_published_on_loopback_only(self):
        for name, service in self.services.items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name}: {port}")

    def test_images_are_pinned_and_rights_dropped(self):
        for name, service in self.services.items():
            self.assertRegex(service["image"], r":(?!latest)[\w.-]+$", name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)

    def test_what_is_mounted_is_there(self):
        for service in self.services.values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DEPLOY / "docker" / source).exists(), source)

    def test_the_servers(self):
        for name in ("server", "server-cpu"):
            server = self.services[name]
            self.assertGreater(int(server["stop_grace_period"].rstrip("s")), drain_seconds(server.get("command", [])))
            self.assertEqual(server["ulimits"]["memlock"], -1)
            self.assertTrue((ROOT / server["build"]["dockerfile"]).is_file())
        devices = self.services["server"]["deploy"]["resources"]["reservations"]["devices"]
        self.assertEqual(devices, [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}])
        self.assertNotIn("deploy", self.services["server-cpu"])

    def test_prometheus_scrapes_what_is_there(self):
        names = set(self.services)
        for service in self.services.values():
            names.update(alias for network in service.get("networks", {}).values() for alias in network["aliases"])
        for path in (DEPLOY / "prometheus/targets").glob("*.yaml"):
            for group in yaml.safe_load(path.read_text()):
                self.assertLessEqual({target.split(":")[0] for target in group["targets"]}, names)


def kubernetes(kind):
    """The base's one document of that kind."""
    files = load("kubernetes/base/kustomization.yaml")["resources"]
    found = [document for name in files for document in load_all(f"kubernetes/base/{name}") if document["kind"] == kind]
    assert len(found) == 1, (kind, found)
    return found[0]


class KubernetesTest(unittest.TestCase):
    def setUp(self):
        self.deployment = kubernetes("Deployment")
        self.pod = self.deployment["spec"]["template"]
        self.server = self.pod["spec"]["containers"][0]

    def test_selectors_choose_the_pods(self):
        labels = self.pod["metadata"]["labels"]
        self.assertTrue(labels)
        self.assertEqual(kubernetes("Service")["spec"]["selector"], labels)
        self.assertEqual(kubernetes("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels)
        for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            self.assertEqual(kubernetes(kind)["spec"]["selector"]["matchLabels"], labels, kind)
        self.assertEqual(kubernetes("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"],
                         self.deployment["metadata"]["name"])

    def test_ports_and_probes(self):
        self.assertEqual({port["name"]: port["containerPort"] for port in self.server["ports"]},
                         {"grpc": GRPC_PORT, "metrics": METRICS_PORT})
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(self.server[probe]["grpc"]["port"], GRPC_PORT, probe)
        names = {port["name"] for port in self.server["ports"]}
        policy = kubernetes("NetworkPolicy")["spec"]
        self.assertEqual({port["port"] for rule in policy["ingress"] for port in rule["ports"]}, names)
        self.assertEqual(policy["egress"], [])
        self.assertIn(kubernetes("PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"], names)

    def test_there_is_time_to_drain(self):
        pause_s = self.server["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(self.pod["spec"]["terminationGracePeriodSeconds"], pause_s + drain_seconds(self.server["args"]))

    def test_one_gpu_and_no_rights(self):
        self.assertEqual(self.server["resources"]["limits"]["nvidia.com/gpu"], "1")
        self.assertTrue(self.pod["spec"]["securityContext"]["runAsNonRoot"])
        self.assertFalse(self.pod["spec"]["automountServiceAccountToken"])
        self.assertEqual(self.server["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                          "capabilities": {"drop": ["ALL"]}})

    def test_page_locked_memory_fits_the_limit(self):
        staging = next(int(argument.split("=")[1]) for argument in self.server["args"] if "staging_bytes" in argument)
        limit = int(re.fullmatch(r"(\d+)Gi", self.server["resources"]["limits"]["memory"])[1]) << 30
        grpc_memory = 2 << 30  # The server's default --grpc_memory_bytes.
        self.assertLess(staging + grpc_memory, limit)

    def test_the_autoscaler_reads_a_metric_that_there_is(self):
        metric = kubernetes("HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
        rule = load("kubernetes/prometheus-adapter.yaml")["rules"]["custom"][0]
        self.assertEqual(rule["name"]["as"], metric)
        sources = "".join(path.read_text() for path in (ROOT / "server/telemetry").rglob("*.cc"))
        for series in re.findall(r"flashcore_\w+", rule["metricsQuery"] + rule["seriesQuery"]):
            self.assertIn(re.sub(r"_(sum|count)$", "", series), sources)

    @unittest.skipUnless(shutil.which("promtool"), "no promtool")
    def test_the_autoscaler_s_query_is_one(self):
        query = load("kubernetes/prometheus-adapter.yaml")["rules"]["custom"][0]["metricsQuery"]
        query = query.replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="flashcore"')
        rules = yaml.safe_dump({"groups": [{"name": "adapter", "rules": [{"record": "queue:seconds", "expr": query}]}]})
        result = subprocess.run(["promtool", "check", "rules", "/dev/stdin"], input=rules, text=True, capture_output=True,
                                timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result)

    @unittest.skipUnless(shutil.which("kubectl"), "no kubectl")
    def test_the_overlay_builds_and_keeps_the_peers_of_the_policy(self):
        built = subprocess.run(["kubectl", "kustomize", DEPLOY / "kubernetes/overlays/gke-l4"], check=True, text=True,
                               capture_output=True, timeout=60).stdout
        documents = {document["kind"]: document for document in yaml.safe_load_all(built)}
        self.assertEqual(documents["NetworkPolicy"]["spec"]["ingress"], kubernetes("NetworkPolicy")["spec"]["ingress"])
        pod = documents["Deployment"]["spec"]["template"]["spec"]
        self.assertEqual(pod["nodeSelector"]["cloud.google.com/gke-accelerator"], "nvidia-l4")
        self.assertEqual(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "1")
        self.assertEqual({document["metadata"].get("namespace", "flashcore") for document in documents.values()}, {"flashcore"})


if __name__ == "__main__":
    unittest.main()
