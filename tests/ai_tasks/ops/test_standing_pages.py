"""What the overview and the pages of providers, queues, limits, workers and health tell."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask, Alert, WorkerProcess
from ai_tasks.ops.pages import fleet
from ai_tasks.ops.pages.troubles import LINKS, Trouble
from providers import control
from providers.errors import Unavailable
from providers.types import Limits
from queueing import standing
from queueing.models import DeadLetter, FlowSample, QueueEntry, TaskQueue
from queueing.states import ParkedReason, Priority
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.graves import bury
from tests.engine import NOW, claimed, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def told(client: Client, name: str, *arguments: object, **query: object) -> str:
    return client.get(reverse(f"ops:{name}", args=arguments), query).content.decode()


def worker(**changes: object) -> WorkerProcess:
    now = clock.now()
    values = {"hostname": "here", "pid": 7, "threads": 4, "queues": ["ai.simulator.default"]}
    values |= {"boot_id": UUID(int=1), "started_at": now, "last_seen_at": now}
    return WorkerProcess.objects.create(**values | changes)


def test_the_overview_says_so_when_nothing_is_wrong(root: Client) -> None:
    worker()

    assert "Nothing is wrong." in told(root, "overview")


def test_the_overview_tells_of_an_open_circuit_and_who_waits(root: Client, alice: User) -> None:
    several(alice, 3)
    control.trip("simulator", cause="unavailable", now=clock.now())

    shown = told(root, "overview")

    assert "The circuit of simulator is open" in shown
    assert "(unavailable); 3 tasks wait" in shown


@pytest.mark.usefixtures("second_provider")
def test_the_overview_tells_where_tasks_of_an_open_circuit_go_on_to(root: Client) -> None:
    control.set_limits("second", Limits(max_concurrency=10))
    control.trip("simulator", cause="unavailable", now=clock.now())

    shown = told(root, "overview")

    assert "New work goes on to second, at 0% of its limit." in shown
    assert f'<a href="{reverse("ops:provider", args=["simulator"])}">Look</a>' in shown


@pytest.mark.parametrize("kind", LINKS)
def test_each_kind_of_trouble_leads_to_where_it_is_seen_to(root: Client, kind: str) -> None:
    trouble = Trouble("bad", "It is down.", kind, "simulator.default" if kind == "queue_full" else "simulator")

    assert root.get(trouble.link).status_code == 200


def test_open_alerts_are_counted_in_the_head_of_every_page(root: Client) -> None:
    Alert.objects.create(kind="no_worker", level="bad", text="No worker.", raised_at=clock.now())
    Alert.objects.create(kind="late_sweep", level="bad", text="Late.", raised_at=NOW, cleared_at=clock.now())

    for name in ("overview", "queues"):
        assert re.search(r'class="badge alert-count">1<', told(root, name))


def test_the_overview_tells_of_a_pause_and_why(root: Client) -> None:
    TaskQueue.objects.pause("simulator", reason="maintenance", now=clock.now())

    assert "simulator is paused: maintenance" in told(root, "overview")


def test_the_overview_tells_of_silent_workers_and_of_none(root: Client) -> None:
    worker(last_seen_at=clock.now() - timedelta(minutes=2))

    shown = told(root, "overview")

    assert "Worker here:7 is silent." in shown
    assert "No worker is running" in shown


def test_the_overview_tells_of_late_sweeps(root: Client, alice: User) -> None:
    text_task(alice)
    TaskQueue.objects.note_flow(clock.now() - timedelta(minutes=9))

    assert "Sweeps are late" in told(root, "overview")


def test_the_overview_tells_of_many_new_dead_letters(root: Client, alice: User) -> None:
    bury(alice, 12)
    DeadLetter.objects.update(created_at=clock.now())

    assert "12 dead letters came in the last hour." in told(root, "overview")


def test_the_overview_tells_of_a_budget_that_is_nearly_used(root: Client, make_budget: MakeBudget) -> None:
    budget = make_budget("10")
    now = clock.now()
    budget.periods.create(
        period="2026-11", limit_usd=10, spent_usd=9, starts_at=now - timedelta(days=9), ends_at=now + timedelta(days=9)
    )

    assert "has used 90% of its limit" in told(root, "overview")


def test_meters_count_what_runs_and_what_began_in_the_last_minute(alice: User) -> None:
    control.set_limits("simulator", Limits(max_concurrency=10, requests_per_minute=5, tokens_per_minute=10_000_000))
    several(alice, 2)
    claimed(now=clock.now())

    slots, requests, tokens = fleet.read(clock.now(), ["simulator"])[0].meters()

    assert (slots.used, slots.limit, slots.share) == (1, 10, 0.1)
    assert (requests.used, requests.limit) == (1, 5)
    assert tokens.used > 0


def test_depths_count_each_state_of_each_lane(alice: User) -> None:
    tasks = several(alice, 5)
    QueueEntry.objects.filter(task_id=tasks[1].pk).park(reason=ParkedReason.BUDGET, key="1")
    claimed(now=clock.now())

    depth = standing.depths(["simulator"])["simulator"]["default"]

    assert (depth.waiting, depth.parked, depth.queued, depth.running) == (3, {"budget": 1}, 0, 1)
    assert depth.oldest_at == QueueEntry.objects.waiting().earliest("enqueued_at").enqueued_at
    assert not depth.is_estimate


def test_classes_count_what_waits_in_each(alice: User) -> None:
    several(alice, 2, priority=Priority.HIGH)
    text_task(alice)

    found = {(each.lane, each.priority): each.waiting for each in standing.classes("simulator") if each.waiting}

    assert found == {("default", Priority.HIGH): 2, ("default", Priority.NORMAL): 1}


def test_rates_are_of_the_samples_of_the_last_minutes(alice: User) -> None:
    queue, now = TaskQueue.objects.queue("simulator"), clock.now()
    for minutes, entered, served in ((9, 0, 0), (4, 100, 40), (2, 220, 100)):
        at = now - timedelta(minutes=minutes)
        FlowSample.objects.create(queue=queue, taken_at=at, entered=entered, served=served)

    assert standing.flows(now)["simulator"]["default"] == (1.0, 0.5)


def test_the_provider_page_shows_what_failed_there_last(root: Client, alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.fail(task.pk, claimed().epoch, Unavailable("Nobody is there."), now=NOW)
    control.trip("simulator", cause="unavailable", now=clock.now())

    shown = told(root, "provider", "simulator")

    assert "Nobody is there." in shown
    assert "1 of the last 1 call" in shown
    assert "closed → open" in shown
    assert root.get(reverse("ops:provider", args=["nobody"])).status_code == 404


def test_the_queue_page_lists_entries_in_the_order_of_their_turn(root: Client, alice: User) -> None:
    late, soon = text_task(alice, priority=Priority.LOW), text_task(alice, priority=Priority.HIGH)

    shown = told(root, "queue", "simulator")

    assert shown.index(str(soon.pk)) < shown.index(str(late.pk))
    assert str(late.pk) not in told(root, "queue", "simulator", priority="high")


def test_the_queue_page_tells_why_entries_are_parked(root: Client, alice: User) -> None:
    task = text_task(alice)
    QueueEntry.objects.filter(task_id=task.pk).park(reason=ParkedReason.BUDGET, key="1")

    assert "budget used up" in told(root, "queue", "simulator", state="parked")
    assert "budget used up" in told(root, "queues")


def test_the_workers_page_tells_lost_leases_from_held_ones(root: Client, alice: User) -> None:
    worker()
    several(alice, 2)
    now = clock.now()
    lost, held = claimed(now=now - timedelta(hours=1)), claimed(now=now)

    everything, only_lost = told(root, "workers"), told(root, "workers", leases="lost")

    assert str(held.task.pk) in everything
    assert str(lost.task.pk) in only_lost
    assert str(held.task.pk) not in only_lost


def test_the_health_page_finds_what_the_sweeps_left_undone(root: Client, alice: User) -> None:
    text_task(alice)
    claimed(now=clock.now() - timedelta(hours=1))

    undone = {str(check.name): check for check in dict(_parts(root))["Left undone"]}

    assert undone["lost leases"].answer == 1
    assert not undone["lost leases"].is_well


def _parts(client: Client) -> list[tuple[str, list[Any]]]:
    shown = client.get(reverse("ops:health")).context["parts"]
    return [(str(name), checks) for name, checks in shown]
