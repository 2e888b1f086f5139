"""Rollups: statistics read from them are those of the tasks and the ledger themselves."""

import random
from collections import Counter
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from ai_tasks import clock, rollups
from ai_tasks.accounts import coverage, histograms
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, floor
from ai_tasks.models import AIGenerationTask, Attempt, LedgerEntry, RollupState, StaleMinute, TaskStat, UsageStat
from ai_tasks.states import TaskStatus
from ai_tasks.submission import retry
from tests.engine import answer, at, at_once, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.TIMED_OUT)


def ended_tasks(owner: User, times: list[datetime], chance: random.Random) -> list[AIGenerationTask]:
    """Write tasks that ended at these times."""
    rows = [
        AIGenerationTask(
            owner=owner,
            type=chance.choice(("text.generate", "chat.reply")),
            status=chance.choice(ENDED),
            requested_model="default",
            provider=chance.choice(("simulator", "second")),
            model="sim-1",
            input={},
            created_at=time - timedelta(seconds=chance.randint(5, 500)),
            started_at=time - timedelta(seconds=chance.random() * 5),
            finished_at=time,
            deadline_at=time,
        )
        for time in times
    ]
    return AIGenerationTask.objects.bulk_create(rows)


def expected(since: datetime | None = None, until: datetime | None = None, **only: str) -> dict[str, int]:
    """Count by the tasks alone."""
    rows = tasks.alive().filter(finished_at__isnull=False, **only).values_list("status", "finished_at")
    counts = Counter(status for status, ended in rows if (since or ended) <= ended and (until is None or ended < until))
    return {status: counts[status] for status in TaskStatus.values}


def rolled_up(now: datetime) -> None:
    """Roll up all there is."""
    while rollups.roll_up(now):
        pass


def everything() -> list[tuple[Any, ...]]:
    columns = ("period", "starts_at", "provider", "task_type", "status", "count", "wait_time", "run_time")
    stats: list[tuple[Any, ...]] = list(TaskStat.objects.order_by(*columns).values_list(*columns))
    usage = UsageStat.objects.order_by("period", "starts_at", "provider", "model", "owner", "task_type")
    return stats + list(usage.values_list("period", "starts_at", "provider", "calls", "input_tokens", "amount_usd"))


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_the_tasks_however_far_they_are_rolled_up(alice: User, seed: int) -> None:
    chance = random.Random(seed)
    now = floor(clock.now(), MINUTE)
    span_seconds = chance.choice((3_000, 90_000, 5 * 86_400))
    times = [now - timedelta(seconds=chance.random() * span_seconds) for _ in range(150)]
    ended_tasks(alice, times, chance)
    whole = chance.choice((10, 90))
    for moment in sorted(now - timedelta(seconds=chance.random() * span_seconds) for _ in range(3)):
        rollups.roll_up(moment, most=whole)

    for _ in range(6):
        since, until = sorted(
            coverage.edge(now - timedelta(seconds=chance.random() * span_seconds), now) for _ in range(2)
        )
        assert tasks.count_by_status(since=since) == expected(since)
        assert tasks.count_by_status(since=since, until=until) == expected(since, until)
        assert tasks.count_by_status(since=since, provider="second") == expected(since, provider="second")
        assert tasks.count_by_status(until=until, type_name="chat.reply") == expected(None, until, type="chat.reply")
        mean = tasks.calculate_average_processing_time(since=since)
        took = [
            task.finished_at - task.started_at
            for task in tasks.filter(status="completed", finished_at__gte=since)
            if task.finished_at and task.started_at
        ]
        assert (mean is None) == (not took)
        if mean is not None:
            assert abs(mean - sum(took, timedelta(0)) / len(took)) < timedelta(milliseconds=1)
    assert tasks.count_by_status() == expected()


def test_rolled_up_twice_or_anew_they_are_the_same(alice: User) -> None:
    chance, now = random.Random(1), floor(clock.now(), DAY)
    ended_tasks(alice, [now - timedelta(seconds=chance.random() * 200_000) for _ in range(80)], chance)
    for _ in range(3):
        text_task(alice, now=now - 3 * HOUR)
        lease = claimed(now=now - 3 * HOUR)
        tasks.complete(lease.task.pk, lease.epoch, answer(), now=now - 3 * HOUR + MINUTE)
    rolled_up(now + HOUR)
    before = everything()

    assert rollups.roll_up(now + HOUR) == 0
    assert everything() == before
    assert len(list(rollups.rebuild(now - 4 * DAY, now + DAY, now + HOUR))) > 50
    assert everything() == before
    assert {stat.period for stat in TaskStat.objects.all()} == {"minute", "hour", "day"}


def test_wrong_rows_are_made_right_by_the_command_and_nothing_is_counted_twice_meanwhile(alice: User) -> None:
    chance, now = random.Random(6), floor(clock.now(), HOUR) - MINUTE
    ended_tasks(alice, [now - timedelta(seconds=chance.random() * 200_000) for _ in range(60)], chance)
    rolled_up(now)
    right = expected()
    TaskStat.objects.filter(period="day").update(count=F("count") + 5)
    TaskStat.objects.filter(period="hour").delete()
    assert tasks.count_by_status() != right

    call_command("rebuild_rollups", f"--since={(now - 4 * DAY).date()}", stdout=StringIO(), stderr=StringIO())
    assert tasks.count_by_status() == right
    for _ in rollups.rebuild(now - 4 * DAY, now, now):
        assert tasks.count_by_status() == right


def test_the_command_wants_a_span(db: None) -> None:
    with pytest.raises(CommandError, match="later than"):
        call_command("rebuild_rollups", "--since=2026-11-23", "--until=2026-11-23")


def test_what_commits_long_after_its_end_is_taken_up_once_its_hour_is_over(alice: User) -> None:
    now, chance = floor(clock.now(), DAY), random.Random(7)
    ended_tasks(alice, [now - 70 * MINUTE, now - 2 * MINUTE], chance)
    rollups.roll_up(now)
    ended_tasks(alice, [now - 50 * MINUTE], chance)
    rollups.roll_up(now + 2 * MINUTE)
    assert sum(tasks.count_by_status().values()) == 2

    rollups.roll_up(now + 16 * MINUTE)

    assert sum(tasks.count_by_status().values()) == 3
    assert sum(stat.count for stat in TaskStat.objects.filter(period="hour")) == 3


def test_a_late_charge_is_taken_up_once_its_hour_is_over(alice: User) -> None:
    task = text_task(alice)
    tasks.complete(task.pk, claimed().epoch, answer(), now=at(2))
    rollups.roll_up(at(50 * 60))
    assert sum(stat.calls for stat in UsageStat.objects.all()) == 1
    late = LedgerEntry.objects.get()
    attempt = late.attempt
    attempt.pk, attempt.epoch = None, 2
    attempt.save()
    late.pk, late.attempt = None, attempt
    late.save()

    rollups.roll_up(at(76 * 60))

    assert sum(stat.calls for stat in UsageStat.objects.all()) == 2


def test_history_from_before_there_were_rollups_gets_no_minutes(alice: User) -> None:
    now = floor(clock.now(), DAY)
    ended_tasks(alice, [now - 30 * DAY, now - 9 * DAY, now - HOUR], random.Random(8))

    rolled_up(now + HOUR)

    assert Counter(stat.period for stat in TaskStat.objects.all()) == {"minute": 1, "hour": 3, "day": 3}
    assert tasks.count_by_status() == expected()


def test_a_mass_redrive_is_taken_up_an_hour_at_a_time(alice: User) -> None:
    now = floor(clock.now(), DAY)
    rows = ended_tasks(alice, [now - number * HOUR for number in range(1, 11)], random.Random(9))
    rolled_up(now + HOUR)
    for row in rows:
        coverage.mark_stale(row.finished_at)
    tasks.filter(pk__in=[row.pk for row in rows]).update(status="cancelled")

    assert rollups.roll_up(now + HOUR, most=4) == 4
    assert StaleMinute.objects.count() == 6
    rolled_up(now - DAY)  # the clock was set back meanwhile

    assert tasks.count_by_status() == expected()


def test_the_time_to_the_first_token_is_that_of_the_last_attempt(alice: User) -> None:
    task = text_task(alice)
    tasks.complete(task.pk, claimed().epoch, answer(), now=at(9))
    Attempt.objects.update(started_at=at(1), first_token_at=at(1.5))
    text_task(alice)
    tasks.complete(AIGenerationTask.objects.latest("pk").pk, claimed().epoch, answer(), now=at(9))

    rollups.roll_up(at(600))

    stat = TaskStat.objects.get()
    assert stat.count == sum(stat.runs.values()) == 2
    half_a_second = histograms.bucket(timedelta(seconds=0.5))
    assert stat.first_tokens == {half_a_second: 1}


def test_what_has_just_ended_is_left_to_the_next_run(alice: User) -> None:
    now = floor(clock.now(), HOUR)
    chance = random.Random(2)
    ended_tasks(alice, [now - timedelta(seconds=400), now - timedelta(seconds=20)], chance)

    rollups.roll_up(now)

    assert sum(stat.count for stat in TaskStat.objects.filter(period="minute")) == 1
    assert sum(tasks.count_by_status().values()) == 2


def test_a_task_that_is_tried_again_or_deleted_leaves_its_minute(alice: User) -> None:
    chance, now = random.Random(3), floor(clock.now(), DAY)
    rows = ended_tasks(alice, [now - timedelta(minutes=61)] * 3, chance)
    tasks.filter(pk__in=[row.pk for row in rows]).update(
        status="failed",
        provider="simulator",
        type="text.generate",
        route=[["simulator", "sim-1"]],
        input={"prompt": "a"},
    )
    rolled_up(now + HOUR)
    assert tasks.count_by_status()["failed"] == 3

    retry(fresh(rows[0]), now=now)
    tasks.delete(fresh(rows[1]), now=now)
    rollups.roll_up(now + HOUR)

    assert tasks.count_by_status() == dict.fromkeys(TaskStatus.values, 0) | {"failed": 1, "pending": 1}
    assert [stat.count for stat in TaskStat.objects.order_by("period")] == [1, 1, 1]
    assert not StaleMinute.objects.exists()


def test_sums_of_the_ledger_are_exact(alice: User, bob: User) -> None:
    for number, owner in enumerate((alice, bob, alice)):
        text_task(owner, now=at(number * 1_000))
        lease = claimed(now=at(number * 1_000))
        tasks.complete(lease.task.pk, lease.epoch, answer(output_tokens=number + 1), now=at(number * 1_000 + 2))
    spent = sum(entry.amount_usd or 0 for entry in LedgerEntry.objects.all())

    before = tasks.get_provider_statistics()
    rollups.roll_up(at(2_000))
    between = tasks.get_provider_statistics()
    rollups.roll_up(at(9_000))

    assert before == between == tasks.get_provider_statistics()
    assert before["simulator"]["cost_usd"] == spent > 0
    assert sum(stat.calls for stat in UsageStat.objects.all()) == 3
    assert sum(stat.amount_usd for stat in UsageStat.objects.all()) == spent


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_count_nothing_twice(alice: User) -> None:
    chance, now = random.Random(4), floor(clock.now(), HOUR)
    ended_tasks(alice, [now - timedelta(seconds=chance.random() * 90_000) for _ in range(60)], chance)

    outcomes = at_once([lambda: rollups.roll_up(now)] * 4)
    rolled_up(now)

    assert not any(isinstance(each, Exception) for each in outcomes)
    assert (
        sum(stat.count for stat in TaskStat.objects.filter(period="minute"))
        + tasks.filter(finished_at__gte=RollupState.objects.get(name="tasks").until).count()
        == 60
    )


def test_statistics_do_not_read_what_is_rolled_up(alice: User) -> None:
    chance, now = random.Random(5), floor(clock.now(), DAY)
    ended_tasks(alice, [now - timedelta(seconds=chance.random() * 200_000) for _ in range(50)], chance)
    rolled_up(now + HOUR)
    counts = tasks.count_by_status()

    with connection.cursor() as cursor:
        # Nobody may do this; it shows where the numbers come from.
        cursor.execute("UPDATE ai_tasks_aigenerationtask SET status = 'completed'")

    assert tasks.count_by_status() == counts
