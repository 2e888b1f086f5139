"""The dashboard and the alert rules speak of metrics that there are, and of all of them; each rule has a runbook."""

import json
import re
from typing import Any

import promql_parser
import pytest
import yaml
from django.test import Client

from config.settings import BASE_DIR

DEPLOY = BASE_DIR / "deploy"
SUFFIXES = ("_bucket", "_sum", "_count")
DASHBOARD = json.loads((DEPLOY / "grafana" / "tasuki.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in RULES)]


def named(text: str) -> set[str]:
    """Return the metrics that an expression names, histograms without their suffix."""
    names = re.findall(r"\btasuki_\w+", text)
    return {next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name) for name in names}


@pytest.mark.django_db
def test_they_name_every_metric_and_no_other(client: Client) -> None:
    told = set(re.findall(r"^# TYPE (tasuki_\w+) ", client.get("/metrics").content.decode(), re.MULTILINE))

    assert set().union(*map(named, QUERIES)) == told
    assert set().union(*map(named, EXPRESSIONS)) == told


def test_their_labels_are_those_of_the_manual() -> None:
    manual = (BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8").split("## Metrics")[1]
    rows = re.findall(r"^\| (`tasuki_.*?) \| (.*?) \|", manual, re.MULTILINE)
    labels = {name: set(re.findall(r"\w+", said)) for names, said in rows for name in re.findall(r"`(\w+)`", names)}

    for expression in EXPRESSIONS:
        known = set().union(*(labels[name] for name in named(expression))) | {"le"}
        asked = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
        grouped = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(", ")}
        assert asked | grouped <= known, expression


@pytest.mark.parametrize("expression", sorted(set(EXPRESSIONS)))
def test_prometheus_can_read_it(expression: str) -> None:
    promql_parser.parse(expression)


def test_rules_have_nothing_that_prometheus_does_not_know() -> None:
    file = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))

    assert [set(file), *map(set, file["groups"])] == [{"groups"}, {"name", "rules"}]
    assert all(set(rule) == {"alert", "expr", "for", "labels", "annotations"} for rule in RULES)
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_grafana_finds_what_each_panel_needs() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}

    assert DASHBOARD["uid"]
    assert set(re.findall(r"\$\{?(\w+)", json.dumps([QUERIES, PANELS]))) <= variables
    for panel in PANELS:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            shown = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
            assert shown <= grouped or not grouped, target


def test_every_rule_has_a_runbook_and_every_runbook_a_rule() -> None:
    sections = re.findall(r"^## (.+)$", (BASE_DIR / "docs" / "runbooks.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert sections == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert re.fullmatch(r"\d+[mh]", rule["for"])


def test_the_panels_do_not_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]

    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
