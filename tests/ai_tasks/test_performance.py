"""How the system did: what operators see is what the tasks say, rolled up or not."""

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_tasks import clock, performance, rollups
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, floor
from ai_tasks.models import AIGenerationTask
from tests.ai_tasks.test_rollups import ended_tasks, rolled_up

pytestmark = pytest.mark.usefixtures("providers_ready")
PAGE = "ops:statistics"


@pytest.mark.parametrize("step", [MINUTE, HOUR, DAY])
@pytest.mark.parametrize("seed", range(3))
def test_each_task_is_counted_once_however_far_it_is_rolled_up(alice: User, seed: int, step: timedelta) -> None:
    chance, now = random.Random(seed), floor(clock.now(), MINUTE)
    rows = ended_tasks(alice, [now - timedelta(seconds=chance.random() * 200_000) for _ in range(80)], chance)
    rollups.roll_up(now - timedelta(seconds=chance.random() * 100_000), most=20)
    since, until = now - 2 * DAY, now

    told = performance.report(since, until, step=step)

    inside = [row for row in rows if row.finished_at and since <= row.finished_at < until]
    assert told.total.ended == len(inside)
    assert told.total.failed == sum(row.status == "failed" for row in inside)
    assert told.total.completed == sum(each.completed for each in told.by_type.values())
    assert {name: each.ended for name, each in told.by_provider.items()} == {
        name: sum(row.provider == name for row in inside) for name in ("second", "simulator")
    }
    for moment, each in told.over_time.items():
        assert each.ended == sum(floor(row.finished_at or now, step) == moment for row in inside)
    one = performance.report(since, until, step=step, provider="second", task_type="chat.reply").total
    assert one.ended == sum((row.provider, row.type) == ("second", "chat.reply") for row in inside)


def test_percentiles_are_those_of_the_tasks_within_an_eighth(alice: User) -> None:
    chance, now = random.Random(1), floor(clock.now(), HOUR)
    rows = ended_tasks(alice, [now - timedelta(seconds=chance.random() * 9_000) for _ in range(200)], chance)
    rollups.roll_up(now - HOUR)
    runs = sorted(row.finished_at - row.started_at for row in rows if row.finished_at and row.started_at)

    told = performance.report(now - 3 * HOUR, now).total

    assert told.runs.p50
    assert told.runs.p50 / runs[99] == pytest.approx(1, abs=0.125)
    assert told.runs.p99
    assert told.runs.p99 / runs[197] == pytest.approx(1, abs=0.125)
    assert told.first_tokens == performance.Times(None, None, None)


def test_nothing_is_reported_of_nothing(db: None) -> None:
    now = floor(clock.now(), MINUTE)

    told = performance.report(now - HOUR, now, step=MINUTE)

    assert (told.total.ended, told.total.failure_share, told.by_provider) == (0, 0.0, {})
    assert len(told.over_time) == 60


def test_a_report_does_not_read_what_is_rolled_up(alice: User) -> None:
    chance, now = random.Random(2), floor(clock.now(), DAY)
    ended_tasks(alice, [now - timedelta(seconds=chance.random() * 200_000) for _ in range(50)], chance)
    rolled_up(now + HOUR)
    told = performance.report(now - 2 * DAY, now)

    AIGenerationTask.objects.update(status="completed")

    with CaptureQueriesContext(connection) as queries:
        assert performance.report(now - 2 * DAY, now) == told
    assert len(queries) == 3


@pytest.mark.parametrize("span", ["hour", "day", "week", "month", "century", "<script>"])
def test_the_page_shows_what_the_tasks_say(client: Client, alice: User, span: str) -> None:
    now = clock.now()
    rows = ended_tasks(alice, [now - timedelta(minutes=minute) for minute in range(1, 50)], random.Random(3))
    rollups.roll_up(now)
    client.force_login(User.objects.create_superuser("root"))

    page = client.get(reverse(PAGE), {"span": span})
    narrowed = client.get(reverse(PAGE), {"span": span, "provider": "second", "type": "<b>"})

    assert page.status_code == 200
    assert page.context["total"].ended == len(rows)
    assert "second" in page.content.decode()
    assert narrowed.context["total"].ended == 0
    assert "<b>" not in narrowed.content.decode()
    assert "<script>" not in page.content.decode().split("<main", 1)[1]
