#!/usr/bin/python3
"""The dashboards' JSON: up to date, well formed, and about series that the server has."""

import itertools
import json
import re
import subprocess
import sys
import unittest

import promql

sys.path.insert(0, str(promql.ROOT / "deploy" / "grafana"))
import grafana  # pylint: disable=wrong-import-position

# Series that nobody needs to see: CUDA reserves address space by the terabyte.
UNSEEN = {"process_virtual_memory_bytes"}
# Grafana shows a name that it does not know as the unit itself.
GRAFANA_UNITS = {"Bps", "bool", "bytes", "celsius", "flops", "hertz", "joule", "none", "ops", "percentunit", "reqps", "s",
                 "short", "suffix: x", "watt"}


# As queries and data sources name them: $instance, ${datasource}. Prometheus' own $labels are no part of a dashboard.
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)[^}]*\})")
BUILT_IN = {"__rate_interval", "__all"}


def exported_series():
    """The families that the server's sources name."""
    sources = (promql.ROOT / "server").rglob("*.cc")
    return set(itertools.chain.from_iterable(
        re.findall(r'"((?:flashcore|process)_[a-z0-9_]+)"', path.read_text(encoding="utf-8")) for path in sources))


def overlap(one, other):
    a, b = one["gridPos"], other["gridPos"]
    return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])


class DashboardTest(unittest.TestCase):
    def setUp(self):
        self.models = promql.dashboards()
        self.assertEqual(set(self.models), {"flashcore.json", "flashcore-runbook.json"})

    def each_panel(self):
        for name, model in self.models.items():
            for panel in model["panels"]:
                with self.subTest(dashboard=name, panel=panel["title"]):
                    yield panel

    def test_json_is_what_its_source_says(self):
        made = subprocess.run([sys.executable, promql.ROOT / "deploy" / "grafana" / "build.py", "--check"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)

    def test_json_is_canonical(self):
        for name, model in self.models.items():
            self.assertEqual((promql.DASHBOARDS / name).read_text(encoding="utf-8"), grafana.canonical(model), name)

    def test_dashboards_are_identified(self):
        for name, model in self.models.items():
            self.assertEqual(model["schemaVersion"], grafana.SCHEMA_VERSION)
            self.assertEqual(model["uid"] + ".json", name)
            self.assertTrue(model["title"] and model["description"])
            ids = [panel["id"] for panel in model["panels"]]
            self.assertEqual(len(ids), len(set(ids)), "panel ids are unique")
            titles = [panel["title"] for panel in model["panels"]]
            self.assertEqual(len(titles), len(set(titles)), "titles are unique, so that one can speak of a panel")

    def test_panels_lie_side_by_side_within_the_grid(self):
        for name, model in self.models.items():
            for one, other in itertools.combinations(model["panels"], 2):
                self.assertFalse(overlap(one, other), f"{name}: {one['title']} and {other['title']}")
            for panel in model["panels"]:
                place = panel["gridPos"]
                self.assertGreater(min(place["w"], place["h"]), 0, panel["title"])
                self.assertLessEqual(place["x"] + place["w"], grafana.GRID_COLUMNS, panel["title"])

    def test_every_panel_says_what_it_shows_and_in_what_unit(self):
        for panel in self.each_panel():
            if panel["type"] == "row":
                continue
            self.assertRegex(panel["description"], r"^\w.{10,}[.?]$")
            if panel["type"] == "text":
                self.assertTrue(panel["options"]["content"])
                continue
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], GRAFANA_UNITS)
            self.assertEqual(panel["datasource"], grafana.DATASOURCE)
            references = [target["refId"] for target in panel["targets"]]
            self.assertTrue(references)
            self.assertEqual(len(references), len(set(references)))

    def test_every_variable_is_defined(self):
        for name, model in self.models.items():
            defined = {variable["name"] for variable in model["templating"]["list"]}
            text = json.dumps([model["panels"], model["templating"]])
            used = {a or b for a, b in VARIABLE.findall(text)} - BUILT_IN
            self.assertLessEqual(used, defined, name)
            self.assertEqual(defined - used, set(), f"{name}: a choice that changes nothing")

    def test_thresholds_rise_from_a_base(self):
        for panel in self.each_panel():
            thresholds = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds")
            if thresholds is None:
                continue
            values = [step["value"] for step in thresholds["steps"]]
            self.assertIsNone(values[0])
            self.assertEqual(values[1:], sorted(set(values[1:])))

    def test_links_lead_to_dashboards_that_exist(self):
        known = {"/d/" + model["uid"] for model in self.models.values()}
        for name, model in self.models.items():
            urls = [link["url"] for link in model["links"]]
            for panel in model["panels"]:
                urls += [link["url"] for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ())]
            self.assertTrue(urls, name)
            self.assertLessEqual(set(urls), known, name)

    def test_queries_name_series_that_the_server_exports(self):
        exported = exported_series()
        for where, expr in promql.dashboard_queries():
            self.assertLessEqual(promql.series_names(expr), exported, where)
        for path in promql.RULES.glob("*.yaml"):
            words = re.findall(r"^\s+(?:expr:|[^#-]).*$", path.read_text(encoding="utf-8"), re.MULTILINE)
            expressions = "\n".join(line for line in words if not re.match(r"\s+(summary|runbook_url):", line))
            self.assertLessEqual(promql.series_names(expressions), exported, path.name)

    def test_everything_that_is_exported_can_be_seen(self):
        asked = [expr for _, expr in promql.dashboard_queries()]
        asked += [path.read_text(encoding="utf-8") for path in promql.RULES.glob("*.yaml")]
        seen = set().union(*map(promql.series_names, asked))
        self.assertEqual(exported_series() - seen - UNSEEN, set())

    def test_variables_are_filled_in(self):
        for where, expr in promql.dashboard_queries():
            self.assertNotIn("$", expr, where)


if __name__ == "__main__":
    unittest.main()
