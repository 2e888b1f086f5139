"""What calls cost."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from providers import gateway, pricing
from providers.models import Price
from providers.types import Candidate, Usage

pytestmark = pytest.mark.django_db
SIM = Candidate("simulator", "sim-1")


def reprice(now: datetime, usd: str) -> None:
    Price.objects.create(
        provider_id="simulator",
        model="sim-1",
        effective_from=now,
        input_usd=usd,
        cache_read_usd=usd,
        cache_write_usd=usd,
        output_usd=usd,
        reasoning_usd=usd,
        source="a test",
    )


@pytest.mark.usefixtures("ensured")
def test_every_bucket_has_its_price(now: datetime) -> None:
    usage = Usage(1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)

    assert gateway.cost_usd(SIM, usage, now) == Decimal("0.1") + Decimal("0.1") + Decimal("0.3") + Decimal("3.6")


@pytest.mark.usefixtures("ensured")
def test_a_single_token_is_not_rounded_away(now: datetime) -> None:
    assert gateway.cost_usd(SIM, Usage(input_tokens=1), now) == Decimal("0.0000001")


@pytest.mark.usefixtures("ensured")
def test_the_large_model_costs_ten_times_as_much(now: datetime) -> None:
    usage = Usage(7, 7, 7, 7, 7)

    large = gateway.cost_usd(Candidate("simulator", "sim-large"), usage, now)

    assert large == 10 * (gateway.cost_usd(SIM, usage, now) or 0)


@pytest.mark.usefixtures("ensured")
@pytest.mark.parametrize("candidate", [Candidate("simulator", "sim-9"), Candidate("bobs-ai", "sim-1")])
def test_an_unknown_price_is_none_and_not_zero(now: datetime, candidate: Candidate) -> None:
    assert gateway.cost_usd(candidate, Usage(input_tokens=5), now) is None


@pytest.mark.usefixtures("ensured")
def test_the_price_in_force_at_the_moment_counts(now: datetime) -> None:
    reprice(now, "7")

    before = pricing.quote(SIM, now - timedelta(seconds=1))
    after = pricing.quote(SIM, now)

    assert before
    assert after
    assert (before.input_usd, after.input_usd) == (Decimal("0.1"), Decimal(7))


@pytest.mark.usefixtures("ensured")
def test_a_price_is_read_once_a_minute(now: datetime, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        for _ in range(3):
            gateway.cost_usd(SIM, Usage(input_tokens=5), now)


@pytest.mark.usefixtures("ensured")
def test_that_there_is_no_price_is_not_remembered(now: datetime) -> None:
    Price.objects.all().delete()
    assert pricing.quote(SIM, now) is None

    reprice(now, "7")

    assert pricing.quote(SIM, now)
