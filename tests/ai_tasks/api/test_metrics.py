"""GET /metrics: what Prometheus is told."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from ai_tasks import clock, rollups
from ai_tasks.accounts.models import Budget
from ai_tasks.models import AIGenerationTask
from config.stack import BASE_DIR
from queueing.models import TaskQueue
from tests.engine import answer, claimed, plan, text_task

pytestmark = pytest.mark.django_db(transaction=True)

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def told(client: Client) -> Any:
    """Return a function that scrapes; gives values by name and labels."""

    def scrape() -> Told:
        response = client.get("/metrics")
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/plain; version=")
        families = text_string_to_metric_families(response.content.decode())
        return {(each.name, frozenset(each.labels.items())): each.value for one in families for each in one.samples}

    return scrape


def value(told: Told, name: str, **labels: str) -> float:
    return told[f"tasuki_{name}", frozenset(labels.items())]


def test_queues_are_told_by_provider_lane_and_state(told: Any, alice: User) -> None:
    now = clock.now()
    text_task(alice, now=now - timedelta(seconds=30))
    text_task(alice, now=now, run_at=now + timedelta(hours=1))
    text_task(alice, now=now - timedelta(seconds=40))
    plan(limit=1, now=now)
    TaskQueue.objects.pause("simulator", reason="A test.", now=now)

    found = told()

    place = {"provider": "simulator", "lane": "default"}
    assert [value(found, "queue_entries", **place, state=each) for each in ("waiting", "queued", "parked")] == [1, 1, 1]
    assert value(found, "queue_parked_entries", **place, reason="scheduled") == 1
    assert 30 <= value(found, "queue_oldest_wait_seconds", **place) < 90
    assert value(found, "queue_paused", **place) == 1
    assert value(found, "circuit_state", provider="simulator", model="", state="closed") == 1


def test_what_ended_is_counted_once_it_is_rolled_up(told: Any, alice: User) -> None:
    began = clock.now().replace(hour=0, minute=10, second=0, microsecond=0)
    task = text_task(alice, now=began)
    AIGenerationTask.objects.complete(task.pk, claimed(now=began).epoch, answer(), now=began + timedelta(seconds=2))
    rollups.roll_up(began + timedelta(hours=2))

    found = told()

    kind = {"provider": "simulator", "type": "text.generate"}
    assert value(found, "tasks_ended_total", **kind, status="completed") == 1
    assert value(found, "task_run_seconds_count", **kind) == 1
    assert value(found, "task_run_seconds_sum", **kind) == 2
    assert [value(found, "task_run_seconds_bucket", **kind, le=each) for each in ("1.0", "2.5", "+Inf")] == [0, 1, 1]
    assert value(found, "calls_charged_total", provider="simulator", model="sim-1") == 1
    assert value(found, "tokens_total", provider="simulator", model="sim-1", kind="output") > 0


def test_why_the_next_entry_is_passed_over_is_told(told: Any, alice: User) -> None:
    text_task(alice, now=clock.now() - timedelta(seconds=30))

    found = told()

    assert value(found, "queue_blocked", provider="simulator", lane="default", reason="no_worker") == 1
    assert not [labels for name, labels in found if name == "tasuki_queue_blocked" and ("lane", "long") in labels]
    assert value(found, "queue_hard_mark", provider="simulator", lane="default") == 100_000


def test_it_asks_no_more_of_the_database_when_there_is_more(client: Client, alice: User) -> None:
    counts = []
    for tasks in (2, 40):
        for _ in range(tasks):
            text_task(alice, now=clock.now() - timedelta(seconds=30))
        with CaptureQueriesContext(connection) as asked:
            client.get("/metrics")
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 40


def test_calls_in_flight_and_workers_are_told(told: Any, alice: User) -> None:
    text_task(alice)
    claimed(now=clock.now())

    found = told()

    assert value(found, "calls_in_flight", provider="simulator", model="sim-1") == 1
    assert value(found, "workers") >= 0


def test_budgets_of_people_are_not_told(told: Any, alice: User) -> None:
    Budget.objects.create(scope="global", limit_usd=Decimal(5))
    Budget.objects.create(scope="user", scope_key=str(alice.pk), limit_usd=Decimal(7))

    found = told()

    assert value(found, "budget_limit_usd", scope="global", key="", interval="month") == 5
    assert not [labels for name, labels in found if ("scope", "user") in labels]


def test_with_a_token_only_who_brings_it_is_told(client: Client, settings: Any) -> None:
    settings.AI_METRICS_TOKEN = "a-long-token"

    codes = [
        client.get("/metrics", headers=headers).status_code
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer a-long-token"})
    ]

    assert codes == [401, 401, 200]


def test_nothing_is_changed_by_it(client: Client) -> None:
    assert client.post("/metrics").status_code == 405


def test_the_manual_names_every_metric_and_no_other(client: Client) -> None:
    section = (BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8").split("## Metrics")[1].split("\n## ")[0]
    manual = set(re.findall(r"`(tasuki_\w+)`", section))

    text = client.get("/metrics").content.decode()

    assert manual == set(re.findall(r"^# TYPE (tasuki_\w+) ", text, re.MULTILINE))
