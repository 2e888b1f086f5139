"""Alarms at 80 % and 100 % of a budget: stored once per period and share, then told."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import User

from ai_tasks import events
from ai_tasks.accounts import alarms, budgets
from ai_tasks.accounts.models import BudgetAlarm, BudgetPeriod
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, at, at_once, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


@pytest.fixture
def spend(make_budget: MakeBudget) -> Any:
    """Return a function that makes a budget of one USD of which so much is spent."""

    def make(spent: str, *scope: str, limit: str = "1") -> BudgetPeriod:
        (period,) = budgets.current_periods([make_budget(limit, *scope)], NOW)
        BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd=Decimal(spent))
        return period

    return make


def raised() -> list[int]:
    return sorted(BudgetAlarm.objects.values_list("percent", flat=True))


@pytest.mark.parametrize(
    ("spent", "percents"),
    [("0", []), ("0.7999999999", []), ("0.8", [80]), ("0.9999999999", [80]), ("1", [80, 100]), ("3", [80, 100])],
)
def test_an_alarm_is_raised_at_its_share_and_not_before(spend: Any, spent: str, percents: list[int]) -> None:
    spend(spent)

    alarms.raise_due(at(1))

    assert raised() == percents


def test_it_is_raised_once_per_period_and_share(spend: Any) -> None:
    period = spend("0.85")

    counts = [alarms.raise_due(at(second)) for second in range(3)]
    BudgetPeriod.objects.update(spent_usd=Decimal("1.1"))
    counts += [alarms.raise_due(at(second)) for second in range(3)]

    assert counts == [1, 0, 0, 1, 0, 0]
    (begun,) = budgets.current_periods([period.budget], NOW + timedelta(days=30))
    BudgetPeriod.objects.filter(pk=begun.pk).update(spent_usd=Decimal(1))
    assert alarms.raise_due(NOW + timedelta(days=30)) == 2


def test_a_budget_that_somebody_waits_for_is_used_up(spend: Any, alice: User) -> None:
    text_task(alice, max_output_tokens=1000)
    spend("0.9999")
    plan()

    alarms.raise_due(at(1))

    assert raised() == [80, 100]


def test_what_is_too_large_for_a_budget_that_is_hardly_used_does_not_make_it_used_up(spend: Any, alice: User) -> None:
    text_task(alice, max_output_tokens=1000)
    spend("0.00001", limit="0.0001")
    plan()

    alarms.raise_due(at(1))

    assert raised() == []


def test_a_call_that_settles_after_the_end_of_the_month_still_raises_it(spend: Any) -> None:
    period = spend("1")

    assert alarms.raise_due(period.ends_at + timedelta(hours=1)) == 2


def test_the_largest_budget_does_not_overflow(spend: Any) -> None:
    spend("720000000", limit="900000000")

    alarms.raise_due(at(1))

    assert raised() == [80]


def test_operators_and_the_budgets_user_are_told_after_the_commit(
    spend: Any, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    spend("0.9", "user", str(alice.pk))

    with django_capture_on_commit_callbacks() as callbacks:
        alarms.raise_due(at(1))

    assert len(callbacks) == 1
    assert told(callbacks[0], alice) == [
        (group, "budget.alarm", 80, "0.9", "1") for group in (events.OPERATIONS, events.group_for_user(alice.pk))
    ]


@async_to_sync
async def told(publish: Any, alice: User) -> list[tuple[Any, ...]]:
    """Return what listeners of both groups get."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    for group in (events.OPERATIONS, events.group_for_user(alice.pk)):
        await layer.group_add(group, channel)
    events.use_loop(asyncio.get_running_loop())
    await asyncio.to_thread(publish)
    found = []
    for _ in range(2):
        event = (await asyncio.wait_for(layer.receive(channel), 5))["event"]
        found.append((event["groups"][0], event["name"], event["percent"], event["spent_usd"], event["limit_usd"]))
    return found


@pytest.mark.django_db(transaction=True)
def test_of_several_who_look_at_once_one_raises_it(spend: Any) -> None:
    spend("1")

    outcomes = at_once([lambda: alarms.raise_due(at(1))] * 4)

    assert raised() == [80, 100]
    assert sum(each for each in outcomes if isinstance(each, int)) == 2, outcomes
