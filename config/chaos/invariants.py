"""What must be true of the database at any moment, and what once all work is done."""

from django.db.models import Count, Exists, F, OuterRef, Q, Sum

from ai_tasks.accounts.models import Attempt, AttemptState, BudgetPeriod, Hold, LedgerEntry
from ai_tasks.models import AIGenerationTask, Chunk
from ai_tasks.states import TERMINAL, TaskStatus
from queueing.models import DeadLetter, QueueEntry

ENDED = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.CANCELLED)


def violations() -> list[str]:
    """Return a sentence for each rule that the database breaks now, whatever is in flight; empty: all is well."""
    return [f"{rule}: {ids}" for rule, ids in checks() if ids]


def violations_at_rest() -> list[str]:
    """Return the same, and what must be over once nothing waits or runs: every attempt paid, every hold settled."""
    return violations() + [f"{rule}: {ids}" for rule, ids in checks_at_rest() if ids]


def checks_at_rest() -> list[tuple[str, list[object]]]:
    """Return what must be over once nothing waits or runs, each with some that break it."""
    return [
        ("active task", _ids(AIGenerationTask.objects.active())),
        ("started attempt without a charge", _ids(_uncharged(Attempt.objects.filter(started_at__isnull=False)))),
        ("unsettled hold", _ids(Hold.objects.filter(settled_at=None))),
        ("held money", _ids(BudgetPeriod.objects.exclude(held_usd=0))),
    ]


def checks() -> list[tuple[str, list[object]]]:
    """Return what must be true at any moment, each with some that break it. One snapshot, if the caller has one."""
    tasks, entries, attempts = AIGenerationTask.objects, QueueEntry.objects, Attempt.objects
    has_entry = Exists(entries.filter(task_id=OuterRef("pk")))
    running = Exists(entries.running().filter(task_id=OuterRef("pk"), epoch=OuterRef("epoch")))
    charged = Exists(LedgerEntry.objects.filter(attempt=OuterRef("pk"), kind="charge"))
    in_the_air = Exists(entries.at_provider().filter(task_id=OuterRef("task_id"), epoch=OuterRef("epoch")))
    unfinished = (AttemptState.ADMITTED, AttemptState.STARTED)
    return [
        ("terminal task with an entry", _ids(tasks.filter(has_entry, status__in=TERMINAL))),
        ("active task without an entry", _ids(tasks.active().filter(~has_entry))),
        ("processing task whose entry does not run", _ids(tasks.processing().filter(~running))),
        ("pending task whose entry runs", _ids(tasks.pending().filter(running))),
        ("entry without an active task", _orphans()),
        ("completed task without exactly one success", _without_one_success()),
        ("ended attempt without a charge", _ids(_uncharged(attempts.filter(state__in=ENDED)))),
        ("charged attempt that never started", _ids(attempts.filter(charged, started_at=None))),
        ("attempt charged twice", _charged_twice()),
        ("unfinished attempt that is nowhere", _ids(attempts.filter(~in_the_air, state__in=unfinished))),
        ("failed task without a dead letter that says so", _undead()),
        ("budget held other than its open holds", _wrong_periods("held_usd")),
        ("budget overdrawn by holds", _ids(BudgetPeriod.objects.filter(limit_usd__lt=F("held_usd")))),
        ("terminal task with unfolded chunks", _unfolded()),
    ]


def _ids(rows: object) -> list[object]:
    return list(rows.values_list("pk", flat=True)[:5])  # type: ignore[attr-defined]


def _uncharged(attempts: object) -> object:
    charge = LedgerEntry.objects.filter(attempt=OuterRef("pk"), kind="charge")
    return attempts.filter(~Exists(charge))  # type: ignore[attr-defined]


def _orphans() -> list[object]:
    active = AIGenerationTask.objects.active().filter(pk=OuterRef("task_id"), epoch=OuterRef("epoch"))
    return _ids(QueueEntry.objects.filter(~Exists(active)))


def _without_one_success() -> list[object]:
    won = Count("attempts", filter=Q(attempts__state=AttemptState.SUCCEEDED))
    tasks = AIGenerationTask.objects.order_by().annotate(won=won)
    completed = Q(status=TaskStatus.COMPLETED)
    return _ids(tasks.filter((completed & ~Q(won=1)) | (~completed & Q(won__gt=0))))


def _charged_twice() -> list[object]:
    charges = LedgerEntry.objects.filter(kind="charge").order_by().values("attempt").annotate(count=Count("id"))
    return list(charges.filter(count__gt=1).values_list("attempt", flat=True)[:5])


def _undead() -> list[object]:
    sent_back = Q(resolution="redriven", new_task_id=None)
    letter = DeadLetter.objects.exclude(sent_back).filter(task_id=OuterRef("pk"))
    return _ids(AIGenerationTask.objects.failed().filter(~Exists(letter)))


def _wrong_periods(column: str) -> list[object]:
    wrong: list[object] = []
    for period in BudgetPeriod.objects.all():
        still_open = period.holds.filter(settled_at=None).aggregate(sum=Sum("amount_usd"))["sum"] or 0
        if getattr(period, column) != still_open:
            wrong.append(period.pk)
    return wrong


def _unfolded() -> list[object]:
    several = Chunk.objects.filter(task__status__in=TERMINAL).order_by().values("task").annotate(count=Count("id"))
    return list(several.filter(count__gt=1).values_list("task", flat=True)[:5])
