#!/usr/bin/python3
"""Prometheus' configuration, rules and runbook: promtool's checks, its unit tests, and that nothing was forgotten."""

import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import promql

HERE = pathlib.Path(__file__).resolve().parent
PROMTOOL = shutil.which("promtool")
ALERTS = promql.RULES / "alerts.yaml"
ALERT = re.compile(r"^ +- alert: (\w+)$", re.MULTILINE)


def alerts():
    return ALERT.findall(ALERTS.read_text(encoding="utf-8"))


class RulesTest(unittest.TestCase):
    def promtool(self, *arguments):
        run = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def test_promtool_accepts_the_configuration(self):
        self.assertIn("SUCCESS", self.promtool("check", "config", promql.ROOT / "deploy/prometheus/prometheus.yaml"))

    def test_promtool_accepts_the_rules(self):
        self.promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(promql.RULES.glob("*.yaml")))

    def test_alerts_fire_when_they_should_and_not_when_they_should_not(self):
        self.promtool("test", "rules", HERE / "rules_test.yaml")

    def test_every_alert_fires_in_a_unit_test(self):
        fired = set(re.findall(r'alertname="(\w+)"', (HERE / "rules_test.yaml").read_text(encoding="utf-8")))
        self.assertEqual(fired, set(alerts()))

    def test_every_alert_has_a_severity_and_an_entry_in_the_runbook(self):
        entries = dict(re.findall(r"^## (Flashcore\w+)\n(.*?)(?=^## |\Z)", promql.RUNBOOK.read_text(encoding="utf-8"),
                                  re.MULTILINE | re.DOTALL))
        self.assertEqual(set(entries), set(alerts()))
        for name, text in entries.items():
            for part in ("**Means:**", "**Look at:**", "**Do:**"):
                self.assertIn(part, text, name)
        for text in re.split(r"^ +- alert: ", ALERTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name = text.split("\n", 1)[0]
            self.assertRegex(text, r"labels: \{severity: (page|ticket)\}", name)
            self.assertIn("summary: ", text, name)
            self.assertIn(f"runbook_url: deploy/RUNBOOK.md#{name.lower()}\n", text, name)

    def test_the_promised_latency_is_the_bucket_that_is_counted(self):
        text = (promql.RULES / "slo.yaml").read_text(encoding="utf-8")
        threshold = re.search(r"flashcore_slo_latency:threshold_seconds\n +expr: vector\((.*)\)", text).group(1)
        self.assertEqual(re.findall(r'le="(.*?)"', text), [threshold])


if __name__ == "__main__":
    if not PROMTOOL:
        print("skipped: no promtool (Debian and Ubuntu: prometheus)")
        sys.exit(77)
    unittest.main()
