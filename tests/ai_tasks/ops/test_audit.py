"""The audit is only added to, by whatever way; and what is done and what is noted stand or fall together."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory

from ai_tasks.models import AuditEntry
from ai_tasks.ops import audit, queues
from ai_tasks.ops.audit import Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.oversight.models import AuditIsAppendOnly
from queueing.models import TaskQueue
from tests.ai_tasks.ops.people import by

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


@pytest.fixture
def entry(db: None) -> AuditEntry:
    """What carol did."""
    return audit.write(by(), Action.PAUSE_PROVIDER, Kind.PROVIDER, "simulator", before={"a": 1}, after={"a": 2})


def saved(entry: AuditEntry) -> None:
    entry.reason = "Another."
    entry.save()


@pytest.mark.parametrize(
    "change",
    [
        saved,
        lambda entry: entry.delete(),
        lambda entry: AuditEntry.objects.update(reason="Another."),
        lambda entry: AuditEntry.objects.filter(pk=entry.pk).delete(),
        lambda entry: AuditEntry.objects.bulk_update([entry], ["reason"]),
    ],
    ids=["save", "delete", "update", "delete many", "bulk_update"],
)
def test_no_entry_is_changed_or_deleted(entry: AuditEntry, change: Callable[[AuditEntry], Any]) -> None:
    with pytest.raises(AuditIsAppendOnly), transaction.atomic():
        change(entry)

    assert AuditEntry.objects.get().reason == "Because."


def test_the_database_refuses_an_update_too(entry: AuditEntry) -> None:
    run("UPDATE ai_tasks_auditentry SET actor = 'mallory'")

    assert AuditEntry.objects.get().actor == "carol"


@pytest.mark.postgresql
def test_the_database_refuses_a_delete_too(entry: AuditEntry) -> None:
    run("DELETE FROM ai_tasks_auditentry")

    assert AuditEntry.objects.count() == 1


def run(statement: str) -> None:
    with pytest.raises(DatabaseError, match="only added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_an_entry_says_who_what_why_and_from_what_to_what(db: None) -> None:
    queues.pause_provider("simulator", by(reason="Their maintenance."))

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_id, entry.request_id) == ("carol", 7, "req-1")
    assert (entry.action, entry.object_kind, entry.object_key) == ("pause-provider", "provider", "simulator")
    assert (entry.before, entry.after["paused"], entry.reason) == ({"paused": False}, True, "Their maintenance.")


def test_what_could_not_be_noted_is_not_done(db: None) -> None:
    queues.resume_provider("simulator", by())

    with pytest.raises(DatabaseError), transaction.atomic():
        queues.pause_provider("simulator", by()._replace(user_id=-1))

    assert not TaskQueue.objects.filter(paused_at__isnull=False).exists()
    assert AuditEntry.objects.count() == 1


def test_what_nobody_can_store_is_noted_readably(rf: RequestFactory, alice: User) -> None:
    request = rf.post("/")
    request.user = alice

    queues.pause_provider("simulator", audit.by_request(request, "a\x00b\ud800"))

    assert AuditEntry.objects.get().reason == "a�b�"
