#!/usr/bin/env python3
"""Holds the dashboards against Grafana's own schema: reads each into Grafana's published types, writes it back, and names
whatever got lost or changed, be it a misspelt option or a value that the schema does not know.

Needs the package grafana-foundation-sdk, which is why tests/deploy/check.sh runs it and no other test does.
"""

import json
import sys

import promql

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard, units

UNITS = {unit for unit in vars(units).values() if isinstance(unit, str)}
# Units that a dashboard makes itself.
OWN_UNIT = ("prefix: ", "suffix: ")


def round_trip(model):
    return json.loads(encoder.JSONEncoder().encode(dashboard.Dashboard.from_json(model)))


def differences(ours, theirs, place):
    """Where `theirs` lacks or changes what `ours` says. The schema's defaults that it adds are none."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from differences(value, theirs[name], f"{place}/{name}")
            else:
                yield f"{place}/{name} is not in Grafana's schema"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, f"{place}/{number}")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


def unknown_units(model):
    for panel in model["panels"]:
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "none")
        if unit not in UNITS and not unit.startswith(OWN_UNIT):
            yield f"/{panel['title']}: Grafana has no unit '{unit}'"


def problems(model):
    try:
        return [*differences(model, round_trip(model), ""), *unknown_units(model)]
    except (KeyError, TypeError, ValueError) as error:
        return [f" cannot be read: {error!r}"]


def main():
    plugins.register_default_plugins()
    models = promql.dashboards()
    # A check that finds nothing has to show that it would.
    broken = json.loads(json.dumps(models["flashcore.json"]))
    timeseries = next(panel for panel in broken["panels"] if panel["type"] == "timeseries")
    timeseries["fieldConfig"]["defaults"].update(unit="percents", custom={"lineWidht": 1})
    assert len(problems(broken)) == 2, problems(broken)
    found = [name + problem for name, model in models.items() for problem in problems(model)]
    print("\n".join(found) or f"{len(models)} dashboards follow Grafana's schema")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
