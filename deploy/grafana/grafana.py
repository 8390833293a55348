"""The shape of Grafana's dashboard JSON: small functions that return panels, and one that lays them out."""

import itertools
import json

SCHEMA_VERSION = 39
GRID_COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
RED, YELLOW, GREEN, GREY = "red", "yellow", "green", "text"


def query(expr, legend="__auto", instant=False, form="time_series"):
    """One PromQL query. `form`: time_series, table or heatmap."""
    return {"datasource": DATASOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend, "format": form,
            "instant": instant, "range": not instant}


def bound(expr, legend):
    """A line that the others are measured by: an objective or a limit. Drawn dashed, see `_BOUND_STYLE`."""
    return query(expr, "bound: " + legend)


_BOUND_STYLE = {"matcher": {"id": "byRegexp", "options": "/^bound: /"},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
                               {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
                               {"id": "custom.fillOpacity", "value": 0},
                               {"id": "custom.stacking", "value": {"mode": "none"}}]}


def steps(*pairs):
    """Thresholds: (None, color) first, then (value from which it holds, color)."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in pairs]}


def state_mappings(states):
    """{number: (text, color)} as value mappings."""
    return [{"type": "value", "options": {str(value): {"text": text, "color": color, "index": value}
                                          for value, (text, color) in states.items()}}]


def panel(kind, title, description, width, queries, unit, height=8, options=None, custom=None, overrides=(), **defaults):
    """Any panel with queries. `defaults`: more of fieldConfig.defaults, such as min, max, thresholds, mappings; None is none."""
    targets = [dict(target, refId=reference(index)) for index, target in enumerate(queries)]
    given = {name: value for name, value in defaults.items() if value is not None}
    return {"type": kind, "title": title, "description": description, "datasource": DATASOURCE, "targets": targets,
            "gridPos": {"w": width, "h": height}, "options": options or {},
            "fieldConfig": {"defaults": {"unit": unit, "custom": custom or {}, **given},
                            "overrides": list(overrides)}}


def reference(index):
    """A, B, ... Z, AA, AB, ..."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return (letters[index // len(letters) - 1] if index >= len(letters) else "") + letters[index % len(letters)]


def lines(title, description, width, unit, *queries, stacked=False, **defaults):
    custom = {"lineWidth": 1, "fillOpacity": 60 if stacked else 8, "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stacked else "none"}}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                          "calcs": ["lastNotNull", "max"]},
               "tooltip": {"mode": "multi", "sort": "none" if stacked else "desc"}}
    defaults.setdefault("min", 0)
    return panel("timeseries", title, description, width, queries, unit, options=options, custom=custom,
                 overrides=[_BOUND_STYLE], **defaults)


def stat(title, description, width, unit, *queries, thresholds=None, **defaults):
    """A number now, coloured by its thresholds."""
    options = {"colorMode": "background" if thresholds or "mappings" in defaults else "value", "graphMode": "none",
               "textMode": "auto", "justifyMode": "center", "wideLayout": True,
               "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return panel("stat", title, description, width, [dict(q, instant=True, range=False) for q in queries], unit,
                 height=4, options=options, thresholds=thresholds or steps((None, GREY)), **defaults)


def bars(title, description, width, unit, *queries):
    """One horizontal bar for each query, in their order."""
    options = {"orientation": "horizontal", "displayMode": "basic", "showUnfilled": True, "valueMode": "text",
               "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return panel("bargauge", title, description, width, queries, unit, options=options, min=0,
                 color={"mode": "palette-classic"})


def heatmap(title, description, width, unit, expr):
    options = {"calculate": False, "cellGap": 1, "yAxis": {"unit": unit, "axisPlacement": "left"},
               "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
               "tooltip": {"mode": "single", "yHistogram": True}, "legend": {"show": True}}
    return panel("heatmap", title, description, width, [query(expr, "{{le}}", form="heatmap")], unit, options=options)


def timeline(title, description, width, states, *queries, **defaults):
    """Which state each series was in over time."""
    options = {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8,
               "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    return panel("state-timeline", title, description, width, queries, "none", options=options, height=6,
                 custom={"fillOpacity": 80, "lineWidth": 0}, mappings=state_mappings(states), **defaults)


def table(title, description, width, expr, hidden=(), links=(), unit="none"):
    """The labels of the series that there are now."""
    unseen = {name: True for name in ("Time", "__name__", "job", *hidden)}
    made = panel("table", title, description, width, [query(expr, instant=True, form="table")], unit, height=6,
                 links=list(links), options={"cellHeight": "sm", "showHeader": True}, custom={"align": "auto"})
    made["transformations"] = [{"id": "organize", "options": {"excludeByName": unseen}}]
    return made


def text(title, description, width, height, markdown):
    return {"type": "text", "title": title, "description": description, "gridPos": {"w": width, "h": height},
            "options": {"mode": "markdown", "content": markdown}}


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": GRID_COLUMNS, "h": 1}}


def lay_out(panels):
    """Places the panels from left to right, then in the next line, and numbers them."""
    numbers = itertools.count(1)
    x = y = line_height = 0
    for item in panels:
        place = item["gridPos"]
        if x + place["w"] > GRID_COLUMNS:
            x, y, line_height = 0, y + line_height, 0
        place.update(x=x, y=y)
        item["id"] = next(numbers)
        x, line_height = x + place["w"], max(line_height, place["h"])
    return panels


def variable(name, label, kind, **more):
    return {"name": name, "label": label, "type": kind, "hide": 0, **more}


def dashboard(uid, title, description, panels, variables=(), links=()):
    return {"uid": uid, "title": title, "description": description, "tags": ["flashcore"], "editable": False,
            "schemaVersion": SCHEMA_VERSION, "version": 1, "timezone": "browser", "graphTooltip": 1, "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"}, "annotations": {"list": []}, "links": list(links),
            "templating": {"list": list(variables)}, "panels": lay_out(panels)}


def canonical(model):
    """The one way to write it: so that a change of the JSON is a change of its meaning."""
    return json.dumps(model, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
