"""Alerts are raised once, cleared once, and mailed to whom the settings name."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core import mail

from ai_tasks.models import Alert, BudgetPeriod, WorkerProcess
from ai_tasks.ops import alerts
from providers import control
from queueing.models import QueueEntry, TaskQueue
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.graves import bury
from tests.engine import NOW, at, at_once, claimed, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready", "worker")]


@pytest.fixture
def worker(db: None) -> WorkerProcess:
    """A live worker process."""
    return WorkerProcess.objects.create(
        boot_id=uuid4(), hostname="host", pid=7, threads=4, started_at=NOW, last_seen_at=NOW
    )


def open_ones() -> list[tuple[str, str]]:
    return list(Alert.objects.open().order_by("kind", "key").values_list("kind", "key"))


def make_circuit_open(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=NOW)


def make_old_queue(alice: User) -> None:
    text_task(alice, now=NOW - timedelta(minutes=11))


def make_full_queue(alice: User) -> None:
    text_task(alice)
    TaskQueue.objects.update(hard_mark=1)


def make_deaths(alice: User) -> None:
    bury(alice, 10)


def make_silence(alice: User) -> None:
    WorkerProcess.objects.create(
        boot_id=uuid4(), hostname="gone", pid=8, threads=4, started_at=NOW, last_seen_at=NOW - timedelta(minutes=1)
    )


def make_late_sweep(alice: User) -> None:
    text_task(alice, now=NOW - timedelta(minutes=5))
    TaskQueue.objects.note_flow(NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("make", "kind", "key"),
    [
        (make_circuit_open, "circuit_open", "simulator"),
        (make_old_queue, "queue_age", "simulator"),
        (make_full_queue, "queue_full", "simulator.default"),
        (make_deaths, "dead_letters", ""),
        (make_silence, "silent_worker", "gone:8"),
        (make_late_sweep, "late_sweep", "queues measured"),
    ],
)
def test_what_is_wrong_is_raised_once(alice: User, make: Callable[[User], None], kind: str, key: str) -> None:
    make(alice)

    first, second = alerts.sweep(NOW), alerts.sweep(at(1))

    assert (first, second) == ((1, 0), (0, 0))
    assert open_ones() == [(kind, key)]


@pytest.mark.parametrize(("spent", "kind"), [("7.9", None), ("8", "budget_80"), ("10", "budget_100")])
def test_a_budget_is_told_at_eighty_and_at_a_hundred_percent(
    make_budget: MakeBudget, alice: User, spent: str, kind: str
) -> None:
    make_budget("10")
    text_task(alice)
    claimed()
    BudgetPeriod.objects.update(spent_usd=spent, held_usd=0)

    alerts.sweep(NOW)

    assert [each for each, _ in open_ones()] == ([kind] if kind else [])


def test_without_a_worker_that_is_told(worker: WorkerProcess) -> None:
    worker.delete()

    alerts.sweep(NOW)

    assert open_ones() == [("no_worker", "")]


def test_nothing_wrong_raises_nothing(alice: User) -> None:
    text_task(alice)

    assert alerts.sweep(NOW) == (0, 0)


def test_what_is_over_is_cleared_and_raised_anew_when_it_comes_back(alice: User) -> None:
    make_circuit_open(alice)
    alerts.sweep(NOW)
    control.close("simulator", cause="operator", now=at(1), force=True)

    assert alerts.sweep(at(2)) == (0, 1)
    assert alerts.sweep(at(3)) == (0, 0)
    assert Alert.objects.get().cleared_at == at(2)

    make_circuit_open(alice)
    assert alerts.sweep(at(4)) == (1, 0)
    assert Alert.objects.count() == 2


def test_the_words_are_kept_up_while_it_lasts(alice: User) -> None:
    make_circuit_open(alice)
    alerts.sweep(NOW)
    QueueEntry.objects.all().delete()
    text_task(alice)

    alerts.sweep(at(1))

    assert "; 1 tasks wait." in Alert.objects.get().text


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_raise_and_mail_once(alice: User, settings: Any) -> None:
    settings.AI_ALERT_EMAILS = ["ops@example.org"]
    make_circuit_open(alice)

    raised = at_once([lambda: alerts.sweep(NOW)[0]] * 4)
    mailed = at_once([lambda: alerts.mail_due(at(1))] * 4)

    assert sorted(raised, key=str) == [0, 0, 0, 1]
    assert sorted(mailed, key=str) == [0, 0, 0, 1]
    assert len(mail.outbox) == 1


def test_new_alerts_are_mailed_as_one_message(alice: User, settings: Any) -> None:
    settings.AI_ALERT_EMAILS, settings.AI_ENVIRONMENT = ["ops@example.org", "me@example.org"], "production"
    make_circuit_open(alice)
    make_silence(alice)
    alerts.sweep(NOW)

    assert (alerts.mail_due(at(1)), alerts.mail_due(at(2))) == (2, 0)

    [message] = mail.outbox
    assert message.to == ["ops@example.org", "me@example.org"]
    assert message.subject.startswith("[production] The circuit of simulator is open since 06:00 UTC")
    assert message.subject.endswith("(and 1 more)")
    assert "Worker gone:8 is silent." in message.body


def test_to_nobody_nothing_is_mailed(alice: User, settings: Any) -> None:
    settings.AI_ALERT_EMAILS = []
    make_circuit_open(alice)
    alerts.sweep(NOW)

    assert alerts.mail_due(at(1)) == 0
    assert Alert.objects.get().mail_tried_at is None


def test_a_mail_server_that_is_away_is_tried_again_a_minute_later(alice: User, settings: Any) -> None:
    settings.AI_ALERT_EMAILS = ["ops@example.org"]
    works, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    make_circuit_open(alice)
    alerts.sweep(NOW)
    assert alerts.mail_due(at(1)) == 0
    settings.EMAIL_BACKEND = works

    assert alerts.mail_due(at(30)) == 0
    assert alerts.mail_due(at(61)) == 1
    assert len(mail.outbox) == 1


def test_a_name_with_a_line_end_makes_no_header(worker: WorkerProcess, settings: Any) -> None:
    settings.AI_ALERT_EMAILS = ["ops@example.org"]
    WorkerProcess.objects.filter(pk=worker.pk).update(hostname="a\nBcc: x@example.org", last_seen_at=at(-60))
    alerts.sweep(NOW)

    assert alerts.mail_due(at(1)) == 2
    assert all("\n" not in message.subject for message in mail.outbox)
