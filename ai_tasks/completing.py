"""
Station 6 for answers: one transaction ends the attempts of all calls that were answered since the last one.

As `settlement`, fenced by (task, epoch, running): status, result, last chunks, usage, charge, holds and entry move
together or not at all. Where a commit is under way, what is answered meanwhile shares the next (docs/decisions/0092).
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from ai_tasks import breaker, chunks, continuing, outcome, settlement
from ai_tasks.accounts import attempts, charges
from ai_tasks.accounts.models import Attempt
from ai_tasks.chunks import Piece
from ai_tasks.lease import announce
from ai_tasks.states import TaskStatus
from ai_tasks.task_types import embedding, registry
from ai_tasks.webhooks import events
from ai_tasks.webhooks.models import WebhookEndpoint
from providers.types import Completion, Embeddings, Usage, UsageSource, storable
from queueing.entries import share_key
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import SelectIn, UpdateEach, among
from queueing.states import ParkedReason


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that got its whole answer."""

    task_id: UUID
    epoch: int
    answer: Completion | Embeddings
    pieces: Sequence[Piece] = ()
    """What was streamed and is not stored yet."""
    first_token_at: datetime | None = None


class _Ending(NamedTuple):
    """A running lease, locked, and what ends it."""

    entry: QueueEntry
    task: Any
    attempt: Attempt
    by: Answered

    @property
    def usage(self) -> Usage:
        """What the call used."""
        return self.by.answer.usage

    @property
    def untold(self) -> str:
        """Why the charge is an estimate; empty: it is none."""
        return "" if self.usage.source == UsageSource.PROVIDER else "its provider did not say what was used"


@transaction.atomic
def complete(tasks: QuerySet[Any], answered: Answered, now: datetime) -> bool:
    """Finish a task with its answer; False when the lease was lost (the call is charged all the same)."""
    found = _locked(tasks, [answered], waits=True)
    if not found:
        settlement.charge_late(tasks, answered.task_id, answered.epoch, answered.answer.usage, now)
        return False
    _finish(tasks, found, now)
    return True


@transaction.atomic
def complete_all(tasks: QuerySet[Any], answered: Sequence[Answered], now: datetime) -> list[bool]:
    """
    Finish these tasks and say, of each, whether it is.

    One whose lease was lost, or of which somebody else has a row locked, is left to `complete`: no call waits here for
    another's.
    """
    found = _locked(tasks, answered, waits=False)
    if found:
        _finish(tasks, found, now)
    done = {id(each.by) for each in found}
    return [id(each) in done for each in answered]


def _locked(tasks: QuerySet[Any], answered: Sequence[Answered], *, waits: bool) -> list[_Ending]:
    """Return the running leases among these, locked in the order of locks."""
    entries = {each.task_id: each for each in _running[waits].rows([each.task_id for each in answered])}
    held = {each.task_id: each for each in answered if holds(entries.get(each.task_id), each)}
    rows = {row.pk: row for row in _tasks_of(tasks.model, waits).rows(list(held))}  # type: ignore[arg-type]
    started = {(each.task_id, each.epoch): each for each in _attempts.rows(list(rows))}
    return [
        _Ending(entries[task_id], row, started[task_id, held[task_id].epoch], held[task_id])
        for task_id, row in rows.items()
    ]


def holds(entry: QueueEntry | None, answered: Answered) -> bool:
    """Does the call hold the lease that this running entry stands under?"""
    return entry is not None and entry.epoch == answered.epoch


_running = {
    waits: SelectIn(
        partial(
            lambda waits, ids: (
                QueueEntry.objects.running()
                .filter(among("task_id", ids))
                .select_for_update(skip_locked=not waits)
                .order_by("task_id")
            ),
            waits,
        )
    )
    for waits in (True, False)
}
_attempts = SelectIn(lambda ids: Attempt.objects.filter(among("task_id", ids)).order_by())


@cache
def _tasks_of(model: type[Any], waits: bool) -> SelectIn[Any]:
    is_heard = Exists(WebhookEndpoint.objects.listening().filter(owner=OuterRef("owner")))
    locked = model.objects.select_for_update(skip_locked=not waits, of=("self",))
    return SelectIn(lambda ids: locked.filter(among("pk", ids)).annotate(is_heard=is_heard).order_by("pk"))


def _finish(tasks: QuerySet[Any], found: Sequence[_Ending], now: datetime) -> None:
    """End locked leases. Part of the caller's transaction."""
    outputs = [_output(each.task, each.by.answer, continuing.said_before(each.task, each.by.epoch)) for each in found]
    chunks.fold_all(found[0].task.chunks.model, [(each.task.pk, each.by.pieces) for each in found])
    attempts.succeed([(each.attempt, each.usage, _request_id(each), each.by.first_token_at) for each in found], now)
    charged = charges.charge_running([(each.attempt, each.task, each.usage, each.untold) for each in found], now)
    TaskQueue.objects.forget_all([(each.entry, each.usage.total) for each in found])
    moved = {"status": TaskStatus.COMPLETED, "error": None, "now": now}
    _end(tasks.model).run(  # type: ignore[arg-type]
        [
            {
                "task_id": each.task.pk,
                # An earlier attempt has its price too.
                "cost": charge.amount_usd if each.by.epoch == 1 else charges.total_usd(each.task.pk),
                "output": output,
                "usage": charges.public_usage(each.usage),
                **moved,
            }
            for each, charge, output in zip(found, charged, outputs, strict=True)
        ]
    )
    _wake_waiting_for([each.entry for each in found])
    _tell(found, now)
    paid_by = charges.settle(charged, now)
    QueueEntry.objects.wake_keys([(ParkedReason.BUDGET, str(each)) for each in paid_by])
    outcome.come_by_the_end()


def _request_id(each: _Ending) -> str:
    return storable(each.by.answer.provider_request_id)[:200]


@cache
def _end(model: Any) -> UpdateEach[Any]:
    moved = {"status": "status", "finished_at": "now", "updated_at": "now", "cost_usd": "cost"}
    told = {"output": "output", "usage": "usage", "error": "error"}
    return UpdateEach(model, where={"id": "task_id"}, sets=moved | told)


def _tell(found: Sequence[_Ending], now: datetime) -> None:
    model = found[0].task.finish_hooks.model
    hooked = [each.task for each in found if registry.get(each.task.type).on_finished]
    model.objects.bulk_create([model(task_id=task.pk, due_at=now) for task in hooked])
    for each in found:
        events.task_ended(each.task, TaskStatus.COMPLETED, now)
        announce(each.task, TaskStatus.COMPLETED)
        breaker.succeeded(each.attempt, now)


def _wake_waiting_for(entries: Sequence[QueueEntry]) -> None:
    """Wake what was parked for the models' slots or the users' slots that these gave back."""
    models = {(ParkedReason.MODEL_LIMIT, f"{entry.provider}/{entry.model}") for entry in entries}
    QueueEntry.objects.wake_keys(sorted(models))
    for key, count in sorted(Counter(share_key(entry) for entry in entries).items()):
        QueueEntry.objects.wake_keys([(ParkedReason.USER_SHARE, key)], most=count)


def _output(task: Any, answer: Completion | Embeddings, said_before: str) -> dict[str, Any]:
    if isinstance(answer, Embeddings):
        vectors = answer.vectors
        return {"embeddings": [embedding.packed(each) for each in vectors], "dimensions": len(vectors[0])}
    output: dict[str, Any] = {
        "text": said_before + storable(answer.text),
        "finish_reason": answer.finish_reason.value,
        "truncated": answer.truncated,
    }
    if answer.tool_calls:
        calls = [asdict(call) for call in answer.tool_calls]
        output["tool_calls"] = [{name: storable(said) for name, said in call.items() if said} for call in calls]
    if read := registry.get(task.type).read:
        # Whoever runs tasks reads the answer before; one that cannot be read is kept as text.
        with suppress(ValueError):
            output |= read(output["text"])
    return output
