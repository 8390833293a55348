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

    import kustomize
except ImportError:
    print("skipped: no yaml (Debian and Ubuntu: python3-yaml)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVER = os.environ.get("FLASHCORE_SERVER")
GRPC_PORT, METRICS_PORT, HEALTH_PORT = 50051, 9464, 50052
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


def flags_of(arguments):
    """{name: value} of --name=value."""
    return dict(argument[2:].split("=", 1) for argument in arguments if "=" in argument)


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

    def test_what_makes_it_secure(self):
        compose = load("docker/compose.tls.yaml")["services"]["server"]["command"]
        self.assert_server_takes(f"--flagfile={DEPLOY / 'docker/cuda.flags'}", *compose)
        overlay = documents_of("gke-l4-tls")["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assert_server_takes(f"--flagfile={DEPLOY / 'docker/cuda.flags'}", *overlay)
        text = (DEPLOY / "systemd/tls.conf").read_text().replace("\\\n", "")
        drop_in = re.search(r'^Environment="FLASHCORE_ARGUMENTS=(.*)"$', text, re.MULTILINE)
        self.assert_server_takes(f"--flagfile={DEPLOY / 'systemd/flags'}", *drop_in[1].split())

    def test_without_its_certificate_a_secured_server_does_not_start(self):
        for arguments in (load("docker/compose.tls.yaml")["services"]["server"]["command"],
                          documents_of("gke-l4-tls")["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]):
            self.assertIn("--noinsecure", arguments)

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


class SecuredComposeTest(unittest.TestCase):
    def setUp(self):
        self.base = load("docker/compose.yaml")["services"]
        self.secured = load("docker/compose.tls.yaml")["services"]

    def test_it_secures_every_server(self):
        self.assertEqual(set(self.secured), {name for name in self.base if name.startswith("server")})

    def test_files_are_mounted_as_a_folder_and_probes_reach_the_health_port(self):
        for service in self.secured.values():
            flags = flags_of(service["command"])
            source, target, mode = service["volumes"][0].split(":")
            self.assertEqual((source, mode), ("/etc/flashcore/secrets", "ro"))
            for flag in ("tls_cert", "tls_key", "tls_client_ca", "auth_tokens_file"):
                self.assertEqual(str(pathlib.PurePath(flags[flag]).parent), target, flag)
            self.assertEqual(flags["health_listen"], f"127.0.0.1:{HEALTH_PORT}")
            self.assertIn(f"--target={flags['health_listen']}", service["healthcheck"]["test"])

    def test_only_the_encrypted_port_is_public(self):
        for service in self.secured.values():
            self.assertEqual([port.split(":")[-1] for port in service["ports"]], [str(GRPC_PORT)])


def documents_of(overlay):
    return {document["kind"]: document for document in kustomize.build(DEPLOY / "kubernetes/overlays" / overlay)}


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

    def test_rules_for_the_operator_are_those_of_prometheus(self):
        printed = subprocess.run(["bash", DEPLOY / "kubernetes/rules.sh"], check=True, text=True, capture_output=True, timeout=60)
        rule = yaml.safe_load(printed.stdout)
        files = sorted((DEPLOY / "prometheus/rules").glob("*.yaml"))
        self.assertEqual(rule["spec"]["groups"], [group for path in files for group in yaml.safe_load(path.read_text())["groups"]])

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


class SecuredKubernetesTest(unittest.TestCase):
    def setUp(self):
        self.documents = documents_of("gke-l4-tls")
        self.pod = self.documents["Deployment"]["spec"]["template"]["spec"]
        self.server = self.pod["containers"][0]
        self.flags = flags_of(self.server["args"])

    def test_probes_ask_the_health_port(self):
        self.assertEqual(self.flags["health_listen"], f"0.0.0.0:{HEALTH_PORT}")
        self.assertIn({"name": "health", "containerPort": HEALTH_PORT}, self.server["ports"])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(self.server[probe]["grpc"]["port"], HEALTH_PORT, probe)
        # The kubelet's alone: pods are not let in.
        ports = {port["port"] for rule in self.documents["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
        self.assertNotIn("health", ports)

    def test_files_come_from_secrets_mounted_as_folders(self):
        mounts = {mount["name"]: mount for mount in self.server["volumeMounts"]}
        secrets = {volume["name"]: volume["secret"]["secretName"] for volume in self.pod["volumes"]}
        for flag, secret in (("tls_cert", "flashcore-tls"), ("tls_key", "flashcore-tls"), ("tls_client_ca", "flashcore-tls"),
                             ("auth_tokens_file", "flashcore-tokens")):
            folder = str(pathlib.PurePath(self.flags[flag]).parent)
            name = next(name for name, mount in mounts.items() if mount["mountPath"] == folder)
            self.assertEqual(secrets[name], secret)
            self.assertTrue(mounts[name]["readOnly"])
            # A single file would never change again.
            self.assertNotIn("subPath", mounts[name])

    def test_cert_manager_writes_that_secret_for_the_service(self):
        certificates = {document["metadata"]["name"]: document["spec"] for document in load_all("kubernetes/cert-manager.yaml")
                        if document["kind"] == "Certificate"}
        service = self.documents["Service"]["metadata"]
        self.assertEqual(certificates["flashcore-tls"]["secretName"], "flashcore-tls")
        self.assertIn(f"{service['name']}.{service['namespace']}.svc.cluster.local", certificates["flashcore-tls"]["dnsNames"])

    def test_the_rest_is_as_without(self):
        plain = documents_of("gke-l4")
        self.assertEqual(set(plain), set(self.documents))
        self.assertEqual(self.pod["nodeSelector"], plain["Deployment"]["spec"]["template"]["spec"]["nodeSelector"])
        self.assertEqual(self.server["resources"], plain["Deployment"]["spec"]["template"]["spec"]["containers"][0]["resources"])


if __name__ == "__main__":
    unittest.main()
