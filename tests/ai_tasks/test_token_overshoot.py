"""Tokens per minute where calls use more, or less, than was estimated: ten minutes of traffic, minute by minute."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from django.contrib.auth.models import User

from ai_tasks import lease, process
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import SetLimits
from tests.engine import answer, at, plan, several

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects

TOKENS_PER_MINUTE = 6_000
MINUTE = timedelta(minutes=1)
SECONDS = 600


@dataclass
class Call:
    """A call as the provider saw it."""

    task: AIGenerationTask
    admitted_at: datetime
    reserved: int
    used: int
    ends_at: datetime
    ended_at: datetime | None = None

    @property
    def error(self) -> int:
        """By how much its estimate was too low."""
        return max(self.used - self.reserved, 0)

    def known(self, now: datetime) -> int:
        """Return what it counted for then."""
        return max(self.used, self.reserved) if self.ended_at and self.ended_at <= now else self.reserved


def traffic(owner: User, factor: Fraction, chance: random.Random) -> list[Call]:
    """Run as much as the limit lets through for ten minutes; each call's input is that many times its estimate."""
    several(owner, 150, prompt="Name every river. " * 20, max_output_tokens=200)
    calls: list[Call] = []
    for second in range(SECONDS):
        for call in (each for each in calls if not each.ended_at and each.ends_at <= at(second)):
            held = call.task.epoch + 1
            said = answer(input_tokens=call.used - 50, output_tokens=50)
            assert tasks.complete(call.task.pk, held, said, now=at(second))
            call.ended_at = at(second)
        calls += admitted_at(second, factor, chance)
    return calls


def admitted_at(second: int, factor: Fraction, chance: random.Random) -> list[Call]:
    found = []
    for each in plan(now=at(second), limit=1).dispatches:
        entry = QueueEntry.objects.get(task_id=each.task_id)
        held = {"dispatch_id": each.dispatch_id, "worker": process.boot_id(), "now": at(second)}
        task = tasks.get(pk=each.task_id)
        task.epoch -= 1
        assert lease.begin(tasks.all(), each.task_id, each.epoch, **held)
        used = int(entry.estimate_input_tokens * factor) + 50
        ends_at = at(second + chance.randint(1, 90))
        found.append(Call(task, at(second), entry.estimate_tokens, used, ends_at))
    return found


def minute_before(calls: list[Call], moment: datetime) -> list[Call]:
    return [call for call in calls if moment - MINUTE < call.admitted_at <= moment]


@pytest.mark.parametrize("factor", [Fraction(3), Fraction(1, 3)], ids=["three times more", "three times less"])
def test_only_the_error_of_calls_in_flight_goes_over_and_is_paid_back_first(
    alice: User, set_limits: SetLimits, factor: Fraction
) -> None:
    set_limits(tokens_per_minute=TOKENS_PER_MINUTE)

    calls = traffic(alice, factor, random.Random(7))

    assert len(calls) > 50
    overshoots = []
    for moment in sorted({call.admitted_at for call in calls}):
        recent = minute_before(calls, moment)
        in_flight = [call for call in recent if not call.ended_at or call.ended_at > moment]
        assert sum(call.known(moment) for call in recent) <= TOKENS_PER_MINUTE, "paid back before another goes"
        over = sum(call.used for call in recent) - TOKENS_PER_MINUTE
        assert over <= sum(call.error for call in in_flight)
        overshoots.append(over)
    assert (max(overshoots) > 0) == (factor > 1), "the bound was put to the test"


def test_what_was_used_less_stays_reserved_for_its_minute(alice: User, set_limits: SetLimits) -> None:
    """The provider may count what was asked for: room that an answer left is not given away again."""
    set_limits(tokens_per_minute=TOKENS_PER_MINUTE)

    calls = traffic(alice, Fraction(1, 3), random.Random(7))

    for call in calls:
        assert sum(each.reserved for each in minute_before(calls, call.admitted_at)) <= TOKENS_PER_MINUTE


def test_a_bound_that_knew_no_real_use_would_be_seen(alice: User, set_limits: SetLimits) -> None:
    """The control: with the limit lifted the same traffic breaks both rules."""
    set_limits(tokens_per_minute=None)

    calls = traffic(alice, Fraction(3), random.Random(7))

    moments = {call.admitted_at for call in calls}
    assert any(sum(call.known(at) for call in minute_before(calls, at)) > TOKENS_PER_MINUTE for at in moments)
