"""The runbook as a dashboard: one panel for each section of RUNBOOK.md, so that it is where the graphs are."""

import re

import grafana

UID = "flashcore-runbook"
URL = f"/d/{UID}"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
# Lines that a panel of one grid unit shows, and what its title takes.
LINES_PER_UNIT = 1.4
TITLE_UNITS = 2
COLUMN_WIDTH = 12
CHARACTERS_PER_LINE = 85


def sections(markdown):
    """[(title, text)], the part before the first title left out."""
    parts = SECTION.split(markdown)
    return list(zip(parts[1::2], (part.strip() for part in parts[2::2])))


def height(markdown):
    shown = sum(1 + len(line) // CHARACTERS_PER_LINE for line in markdown.splitlines())
    return TITLE_UNITS + round(shown / LINES_PER_UNIT)


def dashboard(path):
    found = sections(path.read_text(encoding="utf-8"))
    panels = [grafana.text(title, f"The section {title} of deploy/RUNBOOK.md.", COLUMN_WIDTH, height(body), body)
              for title, body in found]
    links = [{"type": "link", "title": "Dashboard", "icon": "dashboard", "url": "/d/flashcore", "targetBlank": False,
              "tooltip": "Back to the graphs"}]
    return grafana.dashboard(UID, "FlashCore runbook", "What each alert means, what to look at, and what to do.", panels,
                             links=links)
