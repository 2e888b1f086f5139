"""Retention: what was asked and answered goes after a while; the bill stays."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from ai_tasks import clock, retention
from ai_tasks.errors import NotPossible
from ai_tasks.models import (
    AIGenerationTask,
    Alert,
    Attempt,
    BulkJob,
    Chunk,
    FinishHook,
    JobOutcome,
    LedgerEntry,
    RollupState,
    TaskStat,
)
from ai_tasks.representation import task_json
from ai_tasks.submission import retry
from config.chaos.invariants import violations_at_rest
from providers.errors import BadRequest
from queueing.models import DeadLetter
from tests.engine import NOW, answer, at, at_once, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
LATER = at(91 * 86_400)


def completed(owner: User, **wish: Any) -> AIGenerationTask:
    task = text_task(owner, **wish)
    lease = claimed()
    tasks.complete(lease.task.pk, lease.epoch, answer("The Rhine, secretly."), now=at(2))
    Chunk.objects.create(task=task, seq=9, epoch=1, data="The Rhine, secretly.")
    return fresh(task)


def failed(owner: User) -> AIGenerationTask:
    task = text_task(owner)
    lease = claimed()
    tasks.fail(lease.task.pk, lease.epoch, BadRequest("Your secret is bad."), now=at(1))
    return fresh(task)


def test_payloads_go_and_the_bill_stays(alice: User) -> None:
    task = completed(alice, metadata={"a": "secret"})
    bill = list(LedgerEntry.objects.values())

    counts = retention.prune(LATER)

    purged = fresh(task)
    assert counts["payloads"] == 1
    assert (purged.input, purged.output, purged.metadata, purged.purged_at) == ({}, None, {}, LATER)
    assert not Chunk.objects.exists()
    assert list(LedgerEntry.objects.values()) == bill
    assert (purged.status, purged.cost_usd, purged.usage) == (task.status, task.cost_usd, task.usage)
    assert "secret" not in json.dumps(task_json(purged))
    assert task_json(purged)["purged_at"] is not None
    assert violations_at_rest() == []


def test_younger_ones_and_live_ones_keep_theirs(alice: User) -> None:
    ended, live = completed(alice), text_task(alice)

    retention.prune(at(89 * 86_400))
    retention.prune(at(0))

    assert fresh(ended).output
    assert retention.old_payloads(at(10 * 365 * 86_400)).get() == ended
    assert fresh(live).input


def test_what_an_open_dead_letter_needs_is_kept(alice: User) -> None:
    task = failed(alice)

    assert retention.prune(LATER)["payloads"] == 0

    DeadLetter.objects.update(resolution="discarded", resolved_at=at(5))
    counts = retention.prune(LATER)
    assert (counts["payloads"], counts["dead_letters"]) == (1, 1)
    assert not DeadLetter.objects.exists()
    assert fresh(task).error == {"code": "bad_request", "message": "", "retryable": False}
    assert Attempt.objects.get().error_message == ""


def test_what_a_hook_that_never_ran_needs_is_kept(alice: User) -> None:
    FinishHook.objects.create(task=completed(alice), due_at=at(3))

    assert retention.prune(LATER)["payloads"] == 0

    FinishHook.objects.all().delete()
    assert retention.prune(LATER)["payloads"] == 1


def test_a_purged_task_cannot_be_tried_again(alice: User) -> None:
    task = failed(alice)
    DeadLetter.objects.update(resolution="discarded", resolved_at=at(5))
    retention.prune(LATER)

    with pytest.raises(NotPossible, match="not kept"):
        retry(fresh(task), now=LATER)


def test_one_run_deletes_so_many_batches_and_no_more(alice: User) -> None:
    for _ in range(5):
        completed_task = completed(alice)
        Chunk.objects.filter(task=completed_task).delete()

    assert [retention.prune(LATER, most=2, batch=1)["payloads"] for _ in range(3)] == [2, 2, 1]


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_purge_each_once(alice: User) -> None:
    for _ in range(12):
        completed(alice)
        Chunk.objects.all().delete()

    outcomes = at_once([lambda: retention.prune(LATER, batch=2)] * 4)
    outcomes.append(retention.prune(LATER))

    assert sum(each["payloads"] for each in outcomes if isinstance(each, dict)) == 12
    assert not any(isinstance(each, Exception) for each in outcomes)


def test_minutes_go_after_eight_days_and_hours_stay(alice: User) -> None:
    for period in ("minute", "hour", "day"):
        TaskStat.objects.create(
            period=period,
            starts_at=at(0),
            provider="simulator",
            task_type="text.generate",
            status="completed",
            count=1,
            wait_time=timedelta(0),
            run_time=timedelta(0),
        )

    assert retention.prune(at(9 * 86_400))["minutes"] == 0, "their hours have no rows yet"
    RollupState.objects.create(name="tasks", until=LATER, hour_until=LATER, day_until=LATER)
    assert retention.prune(at(7 * 86_400))["minutes"] == 0
    assert retention.prune(at(9 * 86_400))["minutes"] == 1
    assert sorted(stat.period for stat in TaskStat.objects.all()) == ["day", "hour"]


def test_the_command_counts_then_deletes(alice: User, settings: Any) -> None:
    settings.AI_KEEP_PAYLOADS = timedelta(0)
    text_task(alice, now=clock.now() - timedelta(days=1))
    lease = claimed(now=clock.now() - timedelta(days=1))
    tasks.complete(lease.task.pk, lease.epoch, answer(), now=clock.now() - timedelta(days=1))
    told = StringIO()

    call_command("prune", dry_run=True, json=True, stdout=told)
    assert json.loads(told.getvalue())["payloads"] == 1
    assert tasks.get().purged_at is None

    call_command("prune", stdout=StringIO(), stderr=StringIO())
    assert tasks.get().purged_at is not None


def test_outcomes_of_jobs_and_cleared_alerts_go_the_jobs_and_the_audit_stay(alice: User) -> None:
    job = BulkJob.objects.create(action="cancel-task", created_at=NOW, due_at=NOW, finished_at=NOW)
    JobOutcome.objects.create(job=job, target=job.pk, outcome="done")
    Alert.objects.create(kind="queue_age", level="warn", raised_at=NOW, cleared_at=NOW)
    Alert.objects.create(kind="no_worker", level="bad", raised_at=NOW)
    later = at(91 * 86_400)

    counts = retention.prune(later)

    assert (counts["outcomes"], counts["alerts"]) == (1, 1)
    assert (BulkJob.objects.count(), Alert.objects.get().kind) == (1, "no_worker")
    assert retention.due(later)["outcomes"] == 0
