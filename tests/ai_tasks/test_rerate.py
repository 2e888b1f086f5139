"""Correcting what was charged: re-rating, and usage that comes late. Charges stay; adjustments name them."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Sum

from ai_tasks import settlement, sweeps
from ai_tasks.accounts import charges
from ai_tasks.models import AIGenerationTask, Attempt, BudgetPeriod, LedgerEntry
from config.chaos.invariants import violations, violations_at_rest
from providers import pricing
from providers.models import Price, Provider
from providers.types import Usage, UsageSource
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, WORKER, answer, at, claimed, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
OLD = Decimal("0.000003")
"""10 tokens in at 0.10 and 5 out at 0.40 USD per million."""


def reprice(usd: str, model: str = "sim-1", **columns: Any) -> None:
    prices = {
        "input_usd": Decimal(usd),
        "output_usd": Decimal(usd),
        "effective_from": NOW - timedelta(days=1),
        **columns,
    }
    Price.objects.create(provider_id="simulator", model=model, source="corrected", **prices)
    pricing.forget()


def completed(owner: User, seconds: float = 0, **wish: Any) -> AIGenerationTask:
    task = text_task(owner, now=at(seconds), **wish)
    tasks.complete(task.pk, claimed(now=at(seconds)).epoch, answer(), now=at(seconds + 1))
    return fresh(task)


def rerate(*arguments: str, since: str = "2026-11-23", until: str = "2026-11-24") -> Any:
    out = StringIO()
    options = ("--provider", "simulator", "--from", since, "--to", until, "--json")
    call_command("rerate", *options, *arguments, stdout=out)
    return json.loads(out.getvalue())


def adjustments() -> list[Decimal]:
    rows = LedgerEntry.objects.filter(kind="adjustment").order_by("pk")
    return list(rows.values_list("amount_usd", flat=True))


def ledger_total() -> Decimal:
    return LedgerEntry.objects.aggregate(sum=Sum("amount_usd"))["sum"]


def test_a_corrected_price_adjusts_the_charge_the_budget_and_the_task(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = completed(alice)
    reprice("1")

    report = rerate()

    charge, adjustment = LedgerEntry.objects.order_by("pk")
    assert (charge.amount_usd, adjustment.amount_usd) == (OLD, Decimal("0.000015") - OLD)
    assert (adjustment.charge_id, adjustment.attempt_id, adjustment.reason[:8]) == (
        charge.pk,
        charge.attempt_id,
        "re-rated",
    )
    assert BudgetPeriod.objects.get().spent_usd == fresh(task).cost_usd == ledger_total() == Decimal("0.000015")
    assert report["models"] == [
        {
            "model": "simulator/sim-1",
            "charges": 1,
            "adjusted": 1,
            "unpriced": 0,
            "before_usd": "0.000003",
            "after_usd": "0.000015",
            "difference_usd": "0.000012",
        }
    ]
    assert violations_at_rest() == []


def test_a_second_run_finds_nothing_and_a_price_that_comes_back_takes_it_back(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("1")
    completed(alice)
    reprice("1")
    rerate()

    assert rerate()["models"][0]["adjusted"] == 0
    Price.objects.filter(source="corrected").delete()
    pricing.forget()
    rerate()

    assert len(adjustments()) == 2
    assert sum(adjustments()) == 0
    assert BudgetPeriod.objects.get().spent_usd == OLD


def test_a_dry_run_says_the_same_and_changes_nothing(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = completed(alice)
    reprice("1")

    would = rerate("--dry-run")

    assert adjustments() == []
    assert (BudgetPeriod.objects.get().spent_usd, fresh(task).cost_usd) == (OLD, OLD)
    assert would["models"] == rerate()["models"]


def test_an_unpriced_call_gets_its_price_and_its_budget_pays(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    Provider.objects.update(unpriced="allow")
    pricing.forget()
    task = completed(alice, model="simulator/sim-unpriced")
    assert task.cost_usd is None
    reprice("1", "sim-unpriced")

    rerate()

    assert fresh(task).cost_usd == BudgetPeriod.objects.get().spent_usd == Decimal("0.000015")
    assert LedgerEntry.objects.aggregate(sum=Sum("unpriced"))["sum"] == 0
    assert adjustments() == [Decimal("0.000015")]


def test_an_unpriced_call_that_turns_out_to_be_free_is_priced(alice: User) -> None:
    task = completed(alice, model="simulator/sim-unpriced")
    reprice("0", "sim-unpriced")

    assert [rerate()["models"][0]["adjusted"] for _ in range(2)] == [1, 0]

    assert fresh(task).cost_usd == 0


def test_what_still_has_no_price_is_counted_and_left(alice: User) -> None:
    completed(alice, model="simulator/sim-unpriced")

    assert rerate()["models"][0] | {"model": ""} == {
        "model": "",
        "charges": 1,
        "adjusted": 0,
        "unpriced": 1,
        "before_usd": "0",
        "after_usd": "0",
        "difference_usd": "0",
    }


def test_an_assumed_price_is_replaced_by_the_real_one(alice: User) -> None:
    Provider.objects.update(unpriced="assume", assumed_input_usd=10, assumed_output_usd=10)
    pricing.forget()
    task = completed(alice, model="simulator/sim-unpriced")
    assert task.cost_usd == Decimal("0.00015")
    reprice("1", "sim-unpriced")

    rerate()

    assert fresh(task).cost_usd == Decimal("0.000015")


def test_only_the_chosen_time_and_model_are_re_rated(alice: User) -> None:
    inside, outside = completed(alice), completed(alice, 24 * 3600)
    other = completed(alice, model="simulator/sim-large")
    reprice("1")
    reprice("1", "sim-large")

    rerate("--model", "sim-1")

    assert [fresh(task).cost_usd for task in (inside, outside)] == [Decimal("0.000015"), OLD]
    assert fresh(other).cost_usd == 10 * OLD


def test_money_that_a_correction_gives_back_wakes_who_waits_for_it(alice: User, make_budget: MakeBudget) -> None:
    make_budget("0.000005")
    completed(alice, max_output_tokens=5)
    BudgetPeriod.objects.update(spent_usd=0)
    text_task(alice, max_output_tokens=5)
    BudgetPeriod.objects.update(spent_usd=OLD)
    plan()
    assert QueueEntry.objects.get().parked_reason == "budget"
    reprice("0")

    rerate()

    assert QueueEntry.objects.get().state == "waiting"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--provider", "nobody", "--from", "2026-11-01", "--to", "2026-12-01"),
        ("--provider", "simulator", "--from", "2026-12-01", "--to", "2026-12-01"),
        ("--provider", "simulator", "--from", "yesterday", "--to", "2026-12-01"),
        ("--provider", "simulator", "--from", "2026-11-01"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("rerate", *arguments)


def lost(owner: User) -> AIGenerationTask:
    """A call whose worker fell silent, charged by estimate after the grace."""
    task = text_task(owner)
    claimed(WORKER)
    QueueEntry.objects.update(leased_until=at(-1))
    sweeps.rescue_lost_leases(NOW)
    assert sweeps.charge_lost(at(3600)) == 1
    return task


def test_usage_that_comes_after_the_estimate_adjusts_it(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = lost(alice)
    real = Usage(input_tokens=2, output_tokens=1000)

    for _ in range(3):
        settlement.charge_late(tasks.all(), task.pk, 1, real, at(3700))

    charge, adjustment = LedgerEntry.objects.order_by("pk")
    cost = (2 * Decimal("0.10") + 1000 * Decimal("0.40")) / 1_000_000
    assert (charge.usage_source, adjustment.usage_source) == ("estimated", "provider")
    assert charges.booked(charge) == (real, cost)
    assert (adjustment.input_tokens or 0) == 2 - (charge.input_tokens or 0) < 0
    assert Attempt.objects.get(epoch=1).output_tokens == 1000
    assert BudgetPeriod.objects.get().spent_usd == ledger_total() == cost
    assert violations() == []


@pytest.mark.parametrize("usage", [Usage(1, source=UsageSource.ESTIMATED), None])
def test_another_estimate_or_the_same_usage_adjusts_nothing(alice: User, usage: Usage | None) -> None:
    task = lost(alice)
    booked, _ = charges.booked(LedgerEntry.objects.get())

    assert not settlement.charge_late(tasks.all(), task.pk, 1, usage or booked, at(3700))

    assert adjustments() == []


def test_a_charge_by_the_providers_word_is_not_adjusted_by_a_second_word(alice: User) -> None:
    task = completed(alice)

    assert not settlement.charge_late(tasks.all(), task.pk, 1, Usage(1_000_000), at(10))

    assert adjustments() == []
    assert fresh(task).cost_usd == OLD


def test_a_late_usage_of_an_unpriced_call_is_noted_and_priced_later(alice: User) -> None:
    Price.objects.filter(model="sim-1").delete()
    pricing.forget()
    task = lost(alice)

    settlement.charge_late(tasks.all(), task.pk, 1, Usage(input_tokens=100), at(3700))
    noted, unpriced = charges.booked(LedgerEntry.objects.get(kind="charge")), charges.total_usd(task.pk)
    reprice("1")
    rerate()

    assert (noted, unpriced) == ((Usage(input_tokens=100), 0), None)
    assert ledger_total() == charges.total_usd(task.pk) == Decimal("0.0001")


def test_a_re_rated_estimate_stays_an_estimate(alice: User) -> None:
    lost(alice)
    reprice("1")

    rerate()

    assert set(LedgerEntry.objects.values_list("usage_source", flat=True)) == {"estimated"}


def test_a_late_usage_is_re_rated_as_a_whole(alice: User) -> None:
    task = lost(alice)
    settlement.charge_late(tasks.all(), task.pk, 1, Usage(input_tokens=100), at(3700))
    reprice("1")

    rerate()

    assert ledger_total() == Decimal("0.0001")
