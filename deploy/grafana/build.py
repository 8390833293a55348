#!/usr/bin/python3
"""Writes the dashboards' JSON, which Grafana reads and nobody edits, from service.py, device.py and the runbook.

  build.py            write them
  build.py --check    only say which differ from what would be written; exit status 1 if any
"""

import argparse
import pathlib
import sys

import device
import grafana
import runbook
import service

HERE = pathlib.Path(__file__).resolve().parent
INSTANCES = "label_values(flashcore_build_info, instance)"


def overview():
    variables = [
        grafana.variable("datasource", "Data source", "datasource", query="prometheus", current={}, refresh=1),
        grafana.variable("instance", "Instance", "query", datasource=grafana.DATASOURCE, refresh=2, sort=1, multi=True,
                         includeAll=True, allValue=".+", current={"text": "All", "value": "$__all"},
                         regex="", query={"query": INSTANCES, "refId": "instances"}),
    ]
    links = [{"type": "link", "title": "Runbook", "icon": "doc", "url": runbook.URL, "targetBlank": True,
              "tooltip": "What each alert means and what to do"}]
    panels = [*service.well(), *service.red(), *service.stages(), *service.batching(), *device.busy(),
              *device.health(), *service.capacity(), *service.security(), *service.process()]
    return grafana.dashboard("flashcore", "FlashCore", "For whoever is on call: is it well, and if not, where?", panels,
                             variables, links)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = 0
    for model in (overview(), runbook.dashboard(HERE.parent / "RUNBOOK.md")):
        path = HERE / "dashboards" / (model["uid"] + ".json")
        content = grafana.canonical(model)
        if arguments.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != content:
                print(f"{path.name} is not what deploy/grafana/build.py writes: run it")
                stale += 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
