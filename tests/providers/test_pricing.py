"""What calls cost."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from providers import gateway, price_book, pricing
from providers.models import Price, Provider
from providers.types import Candidate, Unpriced, Usage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ensured")]
SIM, OTHER = Candidate("simulator", "sim-1"), Candidate("simulator", "sim-9")
MILLION = Usage(input_tokens=1_000_000)


def reprice(now: datetime, usd: str, **columns: Any) -> Price:
    prices = dict.fromkeys(("input_usd", "output_usd"), usd)
    row = {"provider_id": "simulator", "model": "sim-1", "effective_from": now, "source": "a test", **prices, **columns}
    pricing.forget()
    return Price.objects.create(**row)


def cost(candidate: Candidate, usage: Usage, now: datetime) -> Decimal | None:
    return gateway.cost_usd(candidate, usage, now)


def test_every_bucket_has_its_price(now: datetime) -> None:
    usage = Usage(1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)

    assert cost(SIM, usage, now) == Decimal("0.1") + Decimal("0.1") + Decimal("0.3") + Decimal("3.6")


def test_a_single_token_is_not_rounded_away(now: datetime) -> None:
    assert cost(SIM, Usage(input_tokens=1), now) == Decimal("0.0000001")


def test_the_large_model_costs_ten_times_as_much(now: datetime) -> None:
    usage = Usage(7, 7, 7, 7, 7)

    large = cost(Candidate("simulator", "sim-large"), usage, now)

    assert large == 10 * (cost(SIM, usage, now) or 0)


@pytest.mark.parametrize("candidate", [OTHER, Candidate("bobs-ai", "sim-1")])
def test_an_unknown_price_is_none_and_not_zero(now: datetime, candidate: Candidate) -> None:
    assert cost(candidate, Usage(input_tokens=5), now) is None
    assert gateway.bound_usd(candidate, 5, 5, now) is None
    assert gateway.unpriced(candidate.provider) == Unpriced.WITHOUT_BUDGET


def test_a_price_of_zero_is_a_price(now: datetime) -> None:
    reprice(now, "0", model="sim-9")

    assert cost(OTHER, MILLION, now) == 0
    assert gateway.bound_usd(OTHER, 5, 5, now) == 0


def test_tokens_of_a_bucket_without_a_price_make_the_call_unpriced(now: datetime) -> None:
    reprice(now, "1", model="sim-9", output_usd=None)

    assert cost(OTHER, MILLION, now) == 1
    assert cost(OTHER, Usage(input_tokens=1, reasoning_tokens=1), now) is None
    assert gateway.bound_usd(OTHER, 1_000_000, 0, now) == 1
    assert gateway.bound_usd(OTHER, 1_000_000, 1, now) is None


def test_what_has_no_price_of_its_own_costs_as_its_direction_does(now: datetime) -> None:
    reprice(now, "1", model="sim-9", output_usd="2")

    assert cost(OTHER, Usage(0, 1_000_000, 1_000_000, 0, 1_000_000), now) == 4


def test_the_price_in_force_at_the_moment_counts(now: datetime) -> None:
    reprice(now, "7")

    assert cost(SIM, MILLION, now - timedelta(seconds=1)) == Decimal("0.1")
    assert cost(SIM, MILLION, now) == 7


def test_a_price_that_has_ended_does_not_count(now: datetime) -> None:
    reprice(now, "7", model="sim-9", effective_until=now + timedelta(days=1))

    assert cost(OTHER, MILLION, now + timedelta(hours=23)) == 7
    assert cost(OTHER, MILLION, now + timedelta(days=1)) is None


def test_a_tier_counts_for_the_whole_call_and_only_above_its_threshold(now: datetime) -> None:
    reprice(now, "1", model="sim-9")
    reprice(now, "2", model="sim-9", above_input_tokens=200_000)

    assert cost(OTHER, Usage(input_tokens=200_000), now) == Decimal("0.2")
    assert cost(OTHER, Usage(input_tokens=1, cache_read_tokens=200_000), now) == Decimal("0.400002")


def test_the_bound_is_the_dearest_bucket_and_tier_that_can_be_reached(now: datetime) -> None:
    reprice(now, "1", model="sim-9", cache_write_usd="1.25", reasoning_usd="4")
    reprice(now, "2", model="sim-9", above_input_tokens=200_000)

    assert gateway.bound_usd(OTHER, 200_000, 1_000_000, now) == Decimal("4.25")
    assert gateway.bound_usd(OTHER, 200_001, 0, now) == Decimal("0.400002")


def test_the_providers_variant_is_charged_where_the_model_has_it(now: datetime) -> None:
    reprice(now, "10", model="sim-9")
    reprice(now, "5", model="sim-9", variant="batch")
    Provider.objects.filter(pk="simulator").update(price_variant="batch")
    pricing.forget()

    assert cost(OTHER, MILLION, now) == 5
    assert cost(SIM, MILLION, now) == Decimal("0.1")


def test_an_operators_price_goes_before_an_imported_one_while_it_is_in_force(now: datetime) -> None:
    reprice(pricing.ALWAYS, "10", model="sim-9", origin="imported", rank=1)
    reprice(now, "8", model="sim-9")

    assert cost(OTHER, MILLION, now - timedelta(days=1)) == 10
    assert cost(OTHER, MILLION, now) == 8


def test_an_operators_exact_name_goes_before_a_pattern_of_theirs(now: datetime) -> None:
    reprice(now, "0", model="everything", match={"regex": "."})
    reprice(now, "8", model="sim-9")

    assert cost(OTHER, MILLION, now) == 8
    assert cost(Candidate("simulator", "llama3:8b"), MILLION, now) == 0


def test_an_assumed_price_counts_for_what_is_on_no_list(now: datetime) -> None:
    assumed = {"unpriced": "assume", "assumed_input_usd": 20, "assumed_output_usd": 80}
    Provider.objects.filter(pk="simulator").update(**assumed)
    pricing.forget()

    assert cost(OTHER, Usage(1_000_000, 0, 1_000_000, 0, 1_000_000), now) == 120
    assert cost(SIM, MILLION, now) == Decimal("0.1")
    assert [gateway.is_assumed(each, MILLION, now) for each in (SIM, OTHER)] == [False, True]
    assert gateway.bound_usd(OTHER, 1_000_000, 1_000_000, now) == 100
    assert gateway.unpriced("simulator") == Unpriced.ASSUME


@pytest.mark.parametrize(
    "columns", [{"unpriced": "assume", "assumed_input_usd": 1}, {"assumed_input_usd": -1}, {"assumed_output_usd": -1}]
)
def test_an_assumption_must_be_stated_and_is_never_negative(columns: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Provider.objects.filter(pk="simulator").update(**columns)


@pytest.mark.parametrize(
    "columns", [{"input_usd": "-1"}, {"reasoning_usd": "-0.000001"}, {"effective_until": "2020-01-01T00:00Z"}]
)
def test_a_price_is_never_negative_and_ends_after_it_begins(now: datetime, columns: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        reprice(now, "1", **columns)


@pytest.mark.parametrize(
    "clause",
    [
        {"like": "gpt"},
        ["gpt"],
        {"equals": ""},
        {"or": []},
        {"or": "gpt"},
        {"regex": "("},
        {"equals": "a", "regex": "b"},
    ],
)
def test_a_clause_that_says_nothing_is_refused(now: datetime, clause: Any) -> None:
    with pytest.raises(ValidationError):
        Price(provider_id="simulator", model="x", match=clause, effective_from=now, source="a test").full_clean()


@pytest.mark.parametrize("nothing", [None, {}, []])
def test_without_a_clause_a_price_stands_for_its_own_name(now: datetime, nothing: Any) -> None:
    reprice(now, "3", model="Sim-9", match=nothing)

    assert cost(OTHER, MILLION, now) == 3
    assert cost(Candidate("simulator", "sim-99"), MILLION, now) is None


def test_prices_are_read_once_and_then_only_asked_for_changes(
    now: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        for number in range(50):
            cost(Candidate("simulator", f"model-{number}"), Usage(input_tokens=5), now)

    price_book.book("simulator").checked_at -= price_book.CHECK_SECONDS
    with django_assert_num_queries(1):
        cost(SIM, Usage(input_tokens=5), now)


@pytest.mark.parametrize("kind", ["created", "edited", "deleted", "policy"])
def test_what_another_process_changes_is_seen_within_seconds(now: datetime, kind: str) -> None:
    """Another process does not call `forget` in this one; time does."""
    assert cost(SIM, MILLION, now) == Decimal("0.1")
    row = Price.objects.get(model="sim-1")

    if kind == "created":
        Price.objects.create(provider_id="simulator", model="sim-1", effective_from=now, input_usd=7, source="a test")
    elif kind == "edited":
        row.input_usd = Decimal(7)
        row.save()
    elif kind == "deleted":
        row.delete()
    else:
        Provider.objects.filter(pk="simulator").update(price_variant="flex")

    book = price_book.book("simulator")
    book.checked_at -= price_book.CHECK_SECONDS
    seen = {"created": Decimal(7), "edited": Decimal(7), "deleted": None, "policy": Decimal("0.1")}
    assert cost(SIM, MILLION, now) == seen[kind]
    assert price_book.book("simulator") is not book


def test_names_that_somebody_makes_up_do_not_fill_the_memory(now: datetime) -> None:
    for number in range(price_book.MOST_NAMES + 5):
        cost(Candidate("simulator", f"model-{number}"), Usage(input_tokens=5), now)

    assert len(price_book.book("simulator")._found) <= price_book.MOST_NAMES
