"""Months and days by the calendar of a budget's time zone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from ai_tasks.accounts import budgets, periods
from ai_tasks.accounts.models import Budget, BudgetPeriod
from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations_at_rest
from tests.engine import answer, claimed, text_task

MONTH, DAY = periods.MONTH, periods.DAY
TOKYO, NEW_YORK = "Asia/Tokyo", "America/New_York"
ZONES = sorted(available_timezones())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "zone", "now", "key", "starts_at", "ends_at"),
    [
        (MONTH, TOKYO, "2026-11-30T14:59:59.999999", "2026-11", "2026-10-31T15:00", "2026-11-30T15:00"),
        (MONTH, TOKYO, "2026-11-30T15:00", "2026-12", "2026-11-30T15:00", "2026-12-31T15:00"),
        (MONTH, TOKYO, "2026-12-31T15:00", "2027-01", "2026-12-31T15:00", "2027-01-31T15:00"),
        # November 2026 in New York begins in summer time and ends in winter time: an hour longer than 30 days.
        (MONTH, NEW_YORK, "2026-11-01T03:59", "2026-10", "2026-10-01T04:00", "2026-11-01T04:00"),
        (MONTH, NEW_YORK, "2026-11-01T04:00", "2026-11", "2026-11-01T04:00", "2026-12-01T05:00"),
        (DAY, NEW_YORK, "2026-11-01T05:30", "2026-11-01", "2026-11-01T04:00", "2026-11-02T05:00"),
        (DAY, NEW_YORK, "2026-11-01T06:30", "2026-11-01", "2026-11-01T04:00", "2026-11-02T05:00"),
        (DAY, NEW_YORK, "2026-03-08T12:00", "2026-03-08", "2026-03-08T05:00", "2026-03-09T04:00"),
        # There is no midnight on this day in Cairo: the clocks jump from 0:00 to 1:00.
        (DAY, "Africa/Cairo", "2026-04-23T22:00", "2026-04-24", "2026-04-23T22:00", "2026-04-24T21:00"),
        (DAY, "UTC", "2028-02-29T12:00", "2028-02-29", "2028-02-29T00:00", "2028-03-01T00:00"),
        (MONTH, "UTC", "2028-02-29T23:59", "2028-02", "2028-02-01T00:00", "2028-03-01T00:00"),
        (MONTH, "UTC", "2027-02-28T23:59", "2027-02", "2027-02-01T00:00", "2027-03-01T00:00"),
    ],
)
def test_a_moment_falls_into_the_calendars_month_or_day(
    interval: str, zone: str, now: str, key: str, starts_at: str, ends_at: str
) -> None:
    assert periods.span(interval, zone, utc(now)) == (key, utc(starts_at), utc(ends_at))


@given(
    st.sampled_from((MONTH, DAY)),
    st.sampled_from(ZONES),
    st.integers(0, 17 * 365 * 24 * 60).map(lambda minutes: utc("2020-01-01") + timedelta(minutes=minutes)),
)
def test_in_every_time_zone_periods_follow_each_other_without_a_gap(interval: str, zone: str, now: datetime) -> None:
    key, starts_at, ends_at = periods.span(interval, zone, now)

    assert starts_at <= now < ends_at
    assert key == f"{now.astimezone(ZoneInfo(zone)):%Y-%m-%d}"[: len(key)]
    assert periods.span(interval, zone, ends_at - timedelta(microseconds=1)).key == key
    assert periods.span(interval, zone, ends_at).starts_at == ends_at


@pytest.mark.parametrize("name", ["", "Tokyo", "Asia/Tokyo\x00", "../etc/passwd", "GMT+25", "é"])
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        periods.check_time_zone(name)


@pytest.mark.parametrize(("scope", "key"), [("global", "openai"), ("user", ""), ("provider", "")])
@pytest.mark.django_db
def test_a_budget_says_whom_it_bounds(scope: str, key: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Budget.objects.create(scope=scope, scope_key=key, limit_usd=1)


@pytest.mark.usefixtures("providers_ready")
def test_a_month_and_a_day_bound_the_same_call(alice: User) -> None:
    now = utc("2026-11-23T06:00")
    for interval, limit in ((MONTH, "1"), (DAY, "0.1")):
        budgets.store(Budget(scope="global", limit_usd=Decimal(limit), interval=interval), now)
    task = text_task(alice, now=now)
    lease = claimed(now=now)

    AIGenerationTask.objects.complete(task.pk, lease.epoch, answer(), now=now + timedelta(days=1))

    spent = dict(BudgetPeriod.objects.values_list("period", "spent_usd"))
    assert spent == {"2026-11": Decimal("0.000003"), "2026-11-23": Decimal("0.000003")}
    assert violations_at_rest() == []


@pytest.mark.parametrize(
    ("zone", "admitted", "finished", "key"),
    [
        (TOKYO, "2026-11-30T14:59", "2026-11-30T15:01", "2026-11"),
        (NEW_YORK, "2026-11-01T03:59", "2026-11-01T04:01", "2026-10"),
        (NEW_YORK, "2026-12-01T04:59", "2026-12-01T05:01", "2026-11"),
    ],
)
@pytest.mark.usefixtures("providers_ready")
def test_a_call_over_the_end_of_a_month_is_paid_by_the_month_that_held_it(
    alice: User, zone: str, admitted: str, finished: str, key: str
) -> None:
    budgets.store(Budget(scope="global", limit_usd=1, time_zone=zone), utc(admitted))
    task = text_task(alice, now=utc(admitted))
    lease = claimed(now=utc(admitted))
    text_task(alice, now=utc(finished))
    claimed(now=utc(finished))

    AIGenerationTask.objects.complete(task.pk, lease.epoch, answer(), now=utc(finished))

    old, new = BudgetPeriod.objects.order_by("starts_at")
    assert (old.period, old.held_usd, old.spent_usd) == (key, 0, Decimal("0.000003"))
    assert (new.spent_usd, new.starts_at) == (0, old.ends_at)
    assert new.held_usd > 0


@pytest.mark.usefixtures("providers_ready")
def test_after_a_change_of_time_zone_no_moment_is_without_a_period_and_none_has_two() -> None:
    budget = Budget(scope="global", limit_usd=1, time_zone=TOKYO)
    budgets.store(budget, utc("2026-12-15T00:00"))
    budgets.current_periods([budget], utc("2026-12-15T00:00"))
    budget.time_zone = "UTC"
    budgets.store(budget, utc("2026-12-16T00:00"))

    (before,) = budgets.current_periods([budget], utc("2026-12-31T14:59"))
    (rest,) = budgets.current_periods([budget], utc("2026-12-31T15:00"))
    (after,) = budgets.current_periods([budget], utc("2027-01-01T00:00"))

    assert [each.period for each in (before, rest, after)] == ["2026-12", "2026-12", "2027-01"]
    assert before.ends_at == utc("2026-12-31T15:00") < rest.ends_at == after.starts_at
    assert len({before.pk, rest.pk, after.pk}) == 3


@pytest.mark.usefixtures("providers_ready")
def test_a_new_limit_counts_for_the_period_that_runs_and_not_for_those_that_are_over() -> None:
    budget = Budget(scope="global", limit_usd=1)
    budgets.store(budget, utc("2026-10-15T00:00"))
    for moment in ("2026-10-15T00:00", "2026-11-15T00:00"):
        budgets.current_periods([budget], utc(moment))

    budget.limit_usd = Decimal(2)
    budgets.store(budget, utc("2026-11-16T00:00"))

    assert dict(BudgetPeriod.objects.values_list("period", "limit_usd")) == {"2026-10": 1, "2026-11": 2}
