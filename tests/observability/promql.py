"""What the dashboards and rules ask, taken apart as far as the tests need it."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "rules"
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"
# Scrapes of a server that computes on a GPU, one after the other, as record_gpu_scrapes.sh writes them.
GPU_SCRAPES = pathlib.Path(__file__).resolve().parent / "gpu_scrapes.prom"
SCRAPE_BEGINS = re.compile(r"^# scrape \d+$", re.MULTILINE)

SERIES = re.compile(r"\b(?:flashcore|process)_[a-z0-9_]+\b")
RECORDED = re.compile(r"\b(?:\w+:)+\w+\b")
GPU_SERIES = re.compile(r"flashcore_(gpu_|tensor_core_|sm_active_|dram_)")
HISTOGRAM_SUFFIX = re.compile(r"_(bucket|sum|count)$")
# Label matchers and strings hide what looks like a comparison. So does what follows `bool`: it compares without filtering.
TOKEN = re.compile(r'\{[^{}]*\}|"[^"]*"|(?:[<>]=?|[=!]=)(?:\s+bool\b)?')
VARIABLE_QUERY = re.compile(r"label_values\((\w+), (\w+)\)")


def gpu_scrapes():
    """The recorded scrapes, in order; [] where none were recorded. What precedes the first says where they are from."""
    return SCRAPE_BEGINS.split(GPU_SCRAPES.read_text(encoding="utf-8"))[1:] if GPU_SCRAPES.is_file() else []


def dashboards():
    """{file name: dashboard}."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def dashboard_queries():
    """[(where, PromQL)] of every panel and every variable, with Grafana's variables filled in."""
    found = []
    for name, model in dashboards().items():
        for variable in model["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = VARIABLE_QUERY.fullmatch(variable["query"]["query"]).groups()
                found.append((f"{name}: variable {variable['name']}", f"group by ({label}) ({metric})"))
        for panel in model["panels"]:
            found += [(f"{name}: {panel['title']} {target['refId']}", fill_in(target["expr"]))
                      for target in panel.get("targets", ())]
    return found


def fill_in(expr):
    """As Grafana does with all instances selected; rates go back further than any test takes."""
    filled = expr.replace("$__rate_interval", "1h").replace("$instance", ".+")
    assert "$" not in filled, f"a variable that the tests do not know: {expr}"
    return filled


def series_names(expr):
    """The families of exported series that it reads."""
    return {HISTOGRAM_SUFFIX.sub("", name) for name in SERIES.findall(RECORDED.sub("", expr))}


def without_comparisons(alert):
    """[PromQL] that have an answer whenever the alert is able to fire, and also while it does not.

    Comparisons give 0 or 1 instead of filtering; both sides of `unless` are asked for; what must be absent is asked for;
    and where a series exists only in the state that is alarming, any state will do.
    """
    def unfilter(match):
        token = match.group()
        if token[0] == "{":
            return re.sub(r'state="\w+"', "", token)
        return token if token[0] == '"' or token.endswith("bool") else token + " bool"

    expr = re.sub(r"\babsent\b", "", TOKEN.sub(unfilter, alert))
    return [side.strip() for side in re.split(r"\bunless\b", expr)]
