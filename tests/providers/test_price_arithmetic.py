"""The arithmetic of costs, for any prices and any usage: exact, and never below the provider's bill."""

from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ai_tasks.accounts.fields import QUANTUM, UsdField, to_quantum
from providers.price_book import ALWAYS, Tariff
from providers.types import BUCKETS, Usage

PRICES = st.decimals(0, 999_999, places=6)
SHEETS = st.tuples(*[PRICES] * len(BUCKETS))
TOKENS = st.integers(0, 2**31 - 1)
USAGES = st.builds(Usage, **{f"{bucket}_tokens": TOKENS for bucket in BUCKETS})
SMALL = st.integers(0, 300_000)
SMALL_USAGES = st.builds(Usage, **{f"{bucket}_tokens": SMALL for bucket in BUCKETS})
TIERS = st.dictionaries(st.sampled_from((32_000, 128_000, 200_000, 272_000)), SHEETS, max_size=3)


def tariff(base: tuple[Decimal, ...], tiers: dict[int, tuple[Decimal, ...]] | None = None) -> Tariff:
    return Tariff(ALWAYS, None, ((0, base), *sorted((tiers or {}).items())))


def bill(prices: tuple[Decimal, ...], usage: Usage) -> Fraction:
    """Return what the provider counts, as a fraction: no rounding anywhere."""
    tokens = (getattr(usage, f"{bucket}_tokens") for bucket in BUCKETS)
    return sum((Fraction(n) * Fraction(usd) / 1_000_000 for n, usd in zip(tokens, prices, strict=True)), Fraction(0))


def test_the_buckets_are_all_there_is_and_none_is_counted_twice() -> None:
    usage = Usage(**{f"{bucket}_tokens": 10**place for place, bucket in enumerate(BUCKETS)})

    assert sum(getattr(usage, f"{bucket}_tokens") for bucket in BUCKETS) == usage.total == 111_111


@given(SHEETS, USAGES)
def test_a_cost_is_exact(prices: tuple[Decimal, ...], usage: Usage) -> None:
    cost = tariff(prices).cost_usd(usage)

    assert isinstance(cost, Decimal)
    assert Fraction(cost) == bill(prices, usage)


@given(SHEETS, SMALL_USAGES)
def test_what_is_charged_is_never_below_the_bill_and_less_than_a_quantum_above(
    prices: tuple[Decimal, ...], usage: Usage
) -> None:
    charged = Fraction(to_quantum(tariff(prices).cost_usd(usage) or Decimal(0)))

    assert 0 <= charged - bill(prices, usage) < Fraction(QUANTUM)


@given(SHEETS, TIERS, SMALL_USAGES)
def test_no_split_of_the_tokens_costs_more_than_the_bound(
    base: tuple[Decimal, ...], tiers: dict[int, tuple[Decimal, ...]], usage: Usage
) -> None:
    found = tariff(base, tiers)

    bound = found.bound_usd(usage.total_input, usage.total_output)

    assert bound is not None
    assert (found.cost_usd(usage) or 0) <= bound


@given(SHEETS, TIERS, SMALL_USAGES)
def test_a_tier_is_the_highest_that_the_input_exceeds(
    base: tuple[Decimal, ...], tiers: dict[int, tuple[Decimal, ...]], usage: Usage
) -> None:
    reached = [above for above in tiers if usage.total_input > above]

    expected = tiers[max(reached)] if reached else base

    assert tariff(base, tiers).prices(usage.total_input) == expected


@given(st.lists(st.decimals(0, 1_000, places=12), max_size=50))
def test_amounts_add_up_in_the_database_as_they_do_on_paper(amounts: list[Decimal]) -> None:
    stored = [UsdField().get_prep_value(amount) for amount in amounts]

    assert all(type(each) is int for each in stored)
    with localcontext(prec=60):
        assert UsdField().from_db_value(sum(stored)) == sum((to_quantum(each) for each in amounts), Decimal(0))


@given(st.decimals(-1_000, 1_000, places=12))
def test_rounding_goes_up_by_less_than_a_quantum(amount: Decimal) -> None:
    assert 0 <= to_quantum(amount) - amount < QUANTUM
