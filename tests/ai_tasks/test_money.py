"""Money is exact on every database, and a budget is never overshot."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from ai_tasks.accounts import budgets, charges
from ai_tasks.accounts.fields import UsdField, to_quantum, usd
from ai_tasks.accounts.models import Attempt, Budget, BudgetPeriod, Hold, LedgerEntry
from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations, violations_at_rest
from providers.types import Usage, UsageSource
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, answer, at, at_once, attempt_of, claimed, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


@pytest.mark.parametrize("amount", ["0.1", "0.0000000001", "922000000", "-5.5", "0.3333333333", "1E-10", "1E+3"])
def test_an_amount_comes_back_as_it_was_stored(make_budget: MakeBudget, amount: str) -> None:
    budgets.current_periods([make_budget("1")], NOW)

    BudgetPeriod.objects.update(spent_usd=Decimal(amount))

    assert BudgetPeriod.objects.get().spent_usd == Decimal(amount)


def test_ten_tenths_are_one(make_budget: MakeBudget) -> None:
    period = budgets.current_periods([make_budget("1")], NOW)[0]

    for _ in range(10):
        assert budgets.hold({period.pk: Decimal("0.1")})

    period.refresh_from_db()
    assert period.held_usd == Decimal(1)
    assert not budgets.hold({period.pk: Decimal("0.0000000001")})


def test_a_sum_is_exact(make_budget: MakeBudget) -> None:
    for number in range(30):
        make_budget("0.1", "user", str(number))

    assert Budget.objects.aggregate(sum=Sum("limit_usd", output_field=UsdField()))["sum"] == Decimal(3)


def test_arithmetic_in_the_database_is_exact(make_budget: MakeBudget) -> None:
    period = budgets.current_periods([make_budget("1")], NOW)[0]

    for _ in range(3):
        BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd=F("spent_usd") + usd(Decimal("0.1")))

    assert BudgetPeriod.objects.filter(spent_usd=Decimal("0.3")).exists()


@pytest.mark.parametrize(("amount", "stored"), [("0.00000000001", "0.0000000001"), ("-0.00000000009", "0")])
def test_what_is_smaller_than_the_smallest_unit_is_rounded_up(amount: str, stored: str) -> None:
    assert to_quantum(Decimal(amount)) == Decimal(stored)


def test_a_hold_is_taken_in_all_periods_or_none(make_budget: MakeBudget) -> None:
    wide = budgets.current_periods([make_budget("1")], NOW)[0]
    tight = budgets.current_periods([make_budget("0.1", "user", "1")], NOW)[0]

    with transaction.atomic():
        assert not budgets.hold({wide.pk: Decimal("0.5"), tight.pk: Decimal("0.5")})
        transaction.set_rollback(True)

    assert set(BudgetPeriod.objects.values_list("held_usd", flat=True)) == {Decimal(0)}


def test_a_month_begins_at_midnight_in_the_budgets_time_zone(providers_ready: None) -> None:
    budget = Budget.objects.create(scope="global", limit_usd=1, time_zone="Asia/Tokyo")

    before = budgets.current_periods([budget], NOW.replace(month=11, day=30, hour=14, minute=59))[0]
    after = budgets.current_periods([budget], NOW.replace(month=11, day=30, hour=15, minute=0))[0]

    assert (before.period, after.period) == ("2026-11", "2026-12")
    assert before.ends_at == NOW.replace(month=11, day=30, hour=15, minute=0)


def test_december_is_followed_by_january(make_budget: MakeBudget) -> None:
    period = budgets.current_periods([make_budget("1")], NOW.replace(month=12, day=31))[0]

    assert (period.period, period.ends_at.year, period.ends_at.month) == ("2026-12", 2027, 1)


def test_spending_goes_to_the_month_that_held_it(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = text_task(alice, now=NOW.replace(day=30, hour=23, minute=59))
    lease = claimed(now=NOW.replace(day=30, hour=23, minute=59))

    tasks.complete(task.pk, lease.epoch, answer(), now=NOW.replace(month=12, day=1))

    period = BudgetPeriod.objects.get(spent_usd__gt=0)
    assert (period.period, period.held_usd) == ("2026-11", 0)


def test_a_hold_is_settled_once(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = text_task(alice)
    plan()
    attempt = attempt_of(task)

    for _ in range(3):
        budgets.settle_all([(attempt, Decimal("0.0001"))], at(1))

    assert BudgetPeriod.objects.get().spent_usd == Decimal("0.0001")
    assert BudgetPeriod.objects.get().held_usd == 0


def test_a_call_is_charged_once_whatever_is_told_later(alice: User) -> None:
    task = text_task(alice)
    claimed()
    attempt = attempt_of(task)

    first = charges.charge(attempt, task, Usage(input_tokens=1_000_000), now=at(1))
    second = charges.charge(attempt, task, Usage(input_tokens=9_000_000), now=at(2))

    assert (first, second) == (True, False)
    assert LedgerEntry.objects.get().amount_usd == Decimal("0.10")


def test_the_database_itself_refuses_a_second_charge(alice: User) -> None:
    task = text_task(alice)
    claimed()
    charges.charge(attempt_of(task), task, Usage(), now=at(1))
    charge = LedgerEntry.objects.get()
    charge.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        charge.save(force_insert=True)


@pytest.mark.django_db(transaction=True)
def test_of_fifty_who_hold_at_once_exactly_ten_do(make_budget: MakeBudget) -> None:
    period = budgets.current_periods([make_budget("1")], NOW)[0]

    def hold_five() -> int:
        return sum(budgets.hold({period.pk: Decimal("0.1")}) for _ in range(5))

    outcomes = at_once([hold_five] * 10)

    assert sum(each for each in outcomes if isinstance(each, int)) == 10, outcomes
    assert BudgetPeriod.objects.get().held_usd == Decimal(1)


@pytest.mark.django_db(transaction=True)
def test_of_fifty_tasks_at_two_providers_at_once_a_budget_for_ten_lets_ten_pass(
    alice: User, second_provider: None, make_budget: MakeBudget
) -> None:
    for number in range(50):
        text_task(alice, max_output_tokens=1000, model=f"{('simulator', 'second')[number % 2]}/sim-1")
    make_budget(Decimal("0.0004009") * 10)

    at_once([lambda: plan("simulator"), lambda: plan("second")])

    assert Hold.objects.count() == Attempt.objects.count() == 10
    assert BudgetPeriod.objects.get().held_usd == BudgetPeriod.objects.get().limit_usd
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_many_settle_at_once_and_nothing_is_left_held(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1", "user", str(alice.pk))
    make_budget("1")
    leases = []
    for _ in range(8):
        text_task(alice)
        leases.append(claimed())

    outcomes = at_once(
        [lambda lease=lease: tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(1)) for lease in leases]  # type: ignore[misc]
    )

    assert outcomes == [True] * 8
    assert set(BudgetPeriod.objects.values_list("held_usd", "spent_usd")) == {(0, 8 * Decimal("0.000003"))}
    assert violations_at_rest() == []


def test_a_charge_that_its_provider_did_not_tell_says_so(alice: User) -> None:
    task = text_task(alice)
    counted = replace(answer(), usage=Usage(input_tokens=10, output_tokens=5, source=UsageSource.COUNTED))

    tasks.complete(task.pk, claimed().epoch, counted, now=at(1))

    assert LedgerEntry.objects.get().reason == "its provider did not say what was used"
