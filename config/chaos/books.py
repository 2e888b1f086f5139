"""The provider's books beside ours: what was called, billed, charged, and how many calls were open at once."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, Sum

from ai_tasks.accounts.models import Attempt, AttemptState, BudgetPeriod, LedgerEntry
from ai_tasks.models import AIGenerationTask

SHOWN = 5
SLACK_SECONDS = 0.02
"""By this much a call's end may be written later than the next one's beginning: its connection was closed elsewhere."""


@dataclass(slots=True)
class Call:
    """One call as its provider saw it."""

    request_id: str
    """`<task>.<epoch>`"""
    began_at: float
    ended_at: float | None = None
    tokens: tuple[int, int] = (0, 0)
    """Billed: input and output."""
    outcome: str = ""


def calls_in(lines: Iterable[dict[str, Any]]) -> list[Call]:
    """Return the calls of a ledger."""
    calls: dict[str, Call] = {}
    for line in lines:
        call = calls.setdefault(line["call_id"], Call(line["request_id"], line["started_at"]))
        if line["event"] == "ended":
            call.ended_at, call.outcome = line["ended_at"], line["outcome"]
            call.tokens = line["input_tokens"], line["output_tokens"]
    return list(calls.values())


def key_of(attempt: Attempt) -> str:
    """Return by which id the provider knows the attempt's call."""
    return f"{attempt.task_id}.{attempt.epoch}"


class Books:
    """Both sides' books once all is at rest."""

    def __init__(self, calls: list[Call], harmed: Collection[UUID], known: Collection[UUID]) -> None:
        """Take the calls, the boot ids of the workers that a fault harmed, and of all workers that were ever seen."""
        self.calls, self._harmed, self._known = calls, harmed, known
        self.attempts = {key_of(each): each for each in Attempt.objects.filter(started_at__isnull=False)}
        self._by_pk = {each.pk: each for each in self.attempts.values()}
        self.charges = {each.attempt_id: each for each in LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CHARGE)}
        adjusted: defaultdict[int, list[LedgerEntry]] = defaultdict(list)
        for each in LedgerEntry.objects.filter(kind=LedgerEntry.Kind.ADJUSTMENT):
            adjusted[each.attempt_id].append(each)
        self.adjustments = adjusted

    def checks(self, caps: dict[str, int | None]) -> list[tuple[str, list[Any]]]:
        """Return the rules with some that break them; `caps`: the most calls at once, by provider."""
        return [
            ("attempt that called twice", self._called_twice()),
            ("call of no attempt", [each.request_id for each in self.calls if each.request_id not in self.attempts]),
            ("success that its provider does not know", self._unknown_success()),
            ("settled charge other than the bill", self._misbilled()),
            ("estimate without an explanation", self._unexplained()),
            ("lost attempt whose worker was not harmed", self._lost_for_nothing()),
            ("attempts other than the task's epoch", self._uncounted()),
            ("extra call without a cause", self._extra_without_cause()),
            ("budget spent other than its ledger", self._misspent()),
            ("more calls at once than the limit", self._crowds(caps)),
        ]

    def _called_twice(self) -> list[str]:
        times = Counter(each.request_id for each in self.calls)
        return [key for key, count in times.items() if count > 1][:SHOWN]

    def _unknown_success(self) -> list[str]:
        completed = {each.request_id for each in self.calls if each.outcome == "completed"}
        won = [key for key, each in self.attempts.items() if each.state == AttemptState.SUCCEEDED]
        return [key for key in won if key not in completed][:SHOWN]

    def charged(self, attempt: Attempt) -> tuple[int, int]:
        """Return the tokens that were charged for it, corrections included."""
        rows = [self.charges[attempt.pk], *self.adjustments[attempt.pk]]
        into = sum(_sum(row, "input_tokens", "cache_read_tokens", "cache_write_tokens") for row in rows)
        return into, sum(_sum(row, "output_tokens", "reasoning_tokens") for row in rows)

    def source(self, attempt: Attempt) -> str:
        """Return who says what it used, the last word counts."""
        return ([self.charges[attempt.pk], *self.adjustments[attempt.pk]])[-1].usage_source

    def settled(self) -> list[tuple[Call, Attempt]]:
        """Return the calls that are charged by what their provider said."""
        pairs = [(each, self.attempts[each.request_id]) for each in self.calls if each.request_id in self.attempts]
        return [(call, own) for call, own in pairs if own.pk in self.charges and self.source(own) == "provider"]

    def _misbilled(self) -> list[str]:
        return [
            f"{call.request_id}: billed {call.tokens}, charged {self.charged(attempt)}"
            for call, attempt in self.settled()
            if self.charged(attempt) != call.tokens
        ][:SHOWN]

    def estimates(self) -> list[LedgerEntry]:
        """Return the charges that their provider did not tell."""
        return [each for each in self.charges.values() if each.usage_source != "provider"]

    def billed_elsewhere(self) -> dict[str, int]:
        """Return what the provider billed for the calls of these estimates, and what we charged, in tokens."""
        ours = {key_of(self._by_pk[each.attempt_id]) for each in self.estimates()}
        billed = sum(sum(each.tokens) for each in self.calls if each.request_id in ours)
        return {"billed": billed, "charged": sum(sum(self.charged(self.attempts[key])) for key in ours)}

    def _unexplained(self) -> list[str]:
        return [str(each.attempt_id) for each in self.estimates() if not self.reason(each)][:SHOWN]

    def reason(self, charge: LedgerEntry) -> str:
        """Return why its provider did not tell what was used: as the ledger says, or how the attempt failed."""
        return charge.reason or self._by_pk[charge.attempt_id].error_class

    def lost(self) -> list[Attempt]:
        """Return the attempts whose worker went away."""
        return [each for each in self.attempts.values() if each.state == AttemptState.LOST]

    def _lost_for_nothing(self) -> list[str]:
        """Workers that nobody saw are those of tasks that run alone: they crash at their worker's armed point."""
        return [key_of(each) for each in self.lost() if each.worker in self._known and each.worker not in self._harmed][
            :SHOWN
        ]

    def _uncounted(self) -> list[str]:
        rows = AIGenerationTask.objects.order_by().annotate(count=Count("attempts")).exclude(count=F("epoch"))
        return [str(each) for each in rows.values_list("pk", flat=True)[:SHOWN]]

    def extra(self) -> Counter[str]:
        """Count the calls beyond each task's first by what made them needed: how the attempt before ended."""
        causes: Counter[str] = Counter()
        before: dict[Any, Attempt] = {}
        for each in sorted(self.attempts.values(), key=lambda one: (str(one.task_id), one.epoch)):
            if each.task_id in before:
                causes[_cause(before[each.task_id])] += 1
            before[each.task_id] = each
        return causes

    def _extra_without_cause(self) -> list[str]:
        return [f"{times} calls" for cause, times in self.extra().items() if not cause]

    def _misspent(self) -> list[str]:
        wrong = []
        for period in BudgetPeriod.objects.all():
            paid = LedgerEntry.objects.filter(attempt__holds__period=period).aggregate(sum=Sum("amount_usd"))["sum"]
            if period.spent_usd != (paid or Decimal(0)):
                wrong.append(f"{period}: {period.spent_usd}, ledger {paid}")
        return wrong

    def crowd(self, provider: str, *, with_zombies: bool) -> int:
        """Return the most calls that were open at once; a zombie's is one that goes on after its lease was lost."""
        moments: list[tuple[float, int]] = []
        for call in self.calls:
            attempt = self.attempts.get(call.request_id)
            if attempt is None or attempt.provider != provider:
                continue
            end = call.ended_at or float("inf")
            if not with_zombies and attempt.state == AttemptState.LOST and attempt.finished_at:
                end = min(end, attempt.finished_at.timestamp())
            moments += [(call.began_at, 1), (max(call.began_at, end - SLACK_SECONDS), -1)]
        most = now = 0
        for _, change in sorted(moments):
            now += change
            most = max(most, now)
        return most

    def _crowds(self, caps: dict[str, int | None]) -> list[str]:
        most = {provider: self.crowd(provider, with_zombies=False) for provider in caps}
        return [f"{name}: {most[name]} of {cap}" for name, cap in caps.items() if cap is not None and most[name] > cap]


def _sum(row: LedgerEntry, *columns: str) -> int:
    return sum(getattr(row, column) or 0 for column in columns)


def _cause(attempt: Attempt) -> str:
    """Return why there was another attempt after this one; empty: there is no reason."""
    if attempt.state == AttemptState.CANCELLED:
        return "drained"
    return attempt.error_class if attempt.state in (AttemptState.FAILED, AttemptState.LOST) else ""


def late_traces(leases: Iterable[tuple[UUID, int]]) -> int:
    """Return for how many of these lost leases what their worker said afterwards was taken as a charge, and no more."""
    late = Q(ledger__reason__in=("its worker had lost the lease", "its usage came late"))
    late |= Q(ledger__usage_source="provider")
    return sum(
        Attempt.objects.of_lease(task_id, epoch).filter(late, state=AttemptState.LOST).exists()
        for task_id, epoch in leases
    )
