"""Forgets one user: their text, files, names and credentials go; the bill stays, under a number."""

from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import retention, submission
from ai_tasks.access.models import ApiKey, IdempotencyRecord, WebSocketTicket
from ai_tasks.batches.models import Batch, BatchLine, StoredFile
from ai_tasks.models import AIGenerationTask, FinishHook
from ai_tasks.states import ACTIVE
from ai_tasks.webhooks.models import WebhookEndpoint
from queueing.models import DeadLetter

WHY = "Its owner is forgotten."


def what(owner: User) -> dict[str, int]:
    """Return how many rows of each kind there are to forget, and how many `live` tasks and batches to end first."""
    rows: dict[str, QuerySet[Any]] = {
        "tasks": AIGenerationTask.objects.filter(owner=owner, purged_at=None),
        "dead_letters": _letters(owner).exclude(message=""),
        "files": StoredFile.objects.filter(owner=owner),
        "requests": BatchLine.objects.filter(batch__owner=owner),
        "webhook_endpoints": WebhookEndpoint.objects.filter(owner=owner),
        "keys": ApiKey.objects.filter(owner=owner, revoked_at=None),
    }
    return {**{name: found.count() for name, found in rows.items()}, "live": _live(owner)}


def _live(owner: User) -> int:
    tasks = AIGenerationTask.objects.filter(owner=owner, status__in=ACTIVE).count()
    return tasks + Batch.objects.running().filter(owner=owner).count()


def _letters(owner: User) -> Any:
    return DeadLetter.objects.filter(owner_key=str(owner.pk))


def forget(owner: User, now: datetime, *, batch: int = retention.BATCH) -> int:
    """
    Forget them, and return how many of their tasks and batches still have to end: then call it again.

    First they are locked out, so that nothing new comes; then what is live is cancelled; then what has ended is
    emptied, some rows in a transaction. Killed at any point it can be called again. Attempts and the ledger stay.
    """
    lock_out(owner, now)
    for batch_id in Batch.objects.running().filter(owner=owner).values_list("pk", flat=True):
        Batch.objects.cancel(batch_id, now)
    for task in AIGenerationTask.objects.filter(owner=owner, status__in=ACTIVE).only("pk"):
        submission.cancel(task, now=now)
    while retention.purge(_ended(owner), now, batch):
        pass
    emptied = AIGenerationTask.objects.filter(owner=owner, purged_at__isnull=False)
    emptied.update(**dict.fromkeys(("request_id", "traceparent", "serial_key", "related_type", "related_id"), ""))
    FinishHook.objects.filter(task__in=emptied).delete()
    discarded = {"resolution": DeadLetter.Resolution.DISCARDED, "resolved_at": now, "resolution_reason": WHY}
    _letters(owner).open().update(**discarded)
    _letters(owner).exclude(message="").update(message="")
    ended = Batch.objects.filter(owner=owner, finished_at__isnull=False)
    BatchLine.objects.filter(batch__in=ended).delete()
    ended.update(metadata={}, errors=[])
    if not (live := _live(owner)):
        StoredFile.objects.filter(owner=owner).delete()
    return live


def _ended(owner: User) -> QuerySet[Any]:
    return AIGenerationTask.objects.filter(owner=owner, purged_at=None, finished_at__isnull=False).order_by("pk")


@transaction.atomic
def lock_out(owner: User, now: datetime) -> None:
    """Take the user's name, address, rights and every credential away; what is left is a number that bills name."""
    nobody = dict.fromkeys(("email", "first_name", "last_name"), "")
    rights = dict.fromkeys(("is_active", "is_staff", "is_superuser"), False)
    told = {**nobody, **rights, "username": f"forgotten-{owner.pk}", "password": make_password(None)}
    User.objects.filter(pk=owner.pk).update(**told)
    owner.groups.clear()
    owner.user_permissions.clear()
    ApiKey.objects.filter(owner=owner, revoked_at=None).update(revoked_at=now)
    ApiKey.objects.filter(owner=owner).update(name="")
    WebSocketTicket.objects.filter(owner=owner).delete()
    IdempotencyRecord.objects.filter(owner=owner).delete()
    WebhookEndpoint.objects.filter(owner=owner).delete()
    kind = ContentType.objects.get_for_model(User)
    LogEntry.objects.filter(content_type=kind, object_id=str(owner.pk)).update(object_repr="", change_message="")
