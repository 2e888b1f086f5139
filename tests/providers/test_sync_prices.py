"""Importing published prices: what is new, what changes, what stays."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from providers import control, gateway, pricing
from providers.models import Price, Provider
from providers.price_lists import Listed, Sheet
from providers.price_sync import Timeline, merged
from providers.types import Candidate, Usage

MILLION = Usage(input_tokens=1_000_000)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


def sheet(usd: int) -> Sheet:
    return {0: (Decimal(usd), None, None, None, Decimal(usd), None)}


def listed(*spans: tuple[datetime, int]) -> Listed:
    return Listed("m", {"equals": "m"}, 1, "", tuple((since, sheet(usd)) for since, usd in spans))


def timeline(*spans: tuple[datetime, int]) -> Timeline:
    return {since: sheet(usd) for since, usd in spans}


def test_a_model_that_is_new_has_its_whole_history() -> None:
    assert merged({}, listed((pricing.ALWAYS, 1), (day(1), 2)), NOW) == timeline((pricing.ALWAYS, 1), (day(1), 2))


def test_a_price_that_changes_without_a_date_changes_now() -> None:
    found = merged(timeline((pricing.ALWAYS, 1)), listed((pricing.ALWAYS, 2)), NOW)

    assert found == timeline((pricing.ALWAYS, 1), (NOW, 2))


def test_a_price_that_changed_on_a_day_changes_on_that_day() -> None:
    found = merged(timeline((pricing.ALWAYS, 1)), listed((pricing.ALWAYS, 1), (day(3), 2)), NOW)

    assert found == timeline((pricing.ALWAYS, 1), (day(3), 2))


def test_a_price_of_the_future_is_put_on_its_day_and_moved_with_it() -> None:
    planned = merged(timeline((pricing.ALWAYS, 1)), listed((pricing.ALWAYS, 1), (day(28), 2)), NOW)

    moved = merged(planned, listed((pricing.ALWAYS, 1), (day(30), 3)), NOW)

    assert planned == timeline((pricing.ALWAYS, 1), (day(28), 2))
    assert moved == timeline((pricing.ALWAYS, 1), (day(30), 3))


def test_what_has_been_in_force_is_not_rewritten() -> None:
    found = merged(timeline((pricing.ALWAYS, 1), (day(3), 2)), listed((pricing.ALWAYS, 9), (day(3), 8)), NOW)

    assert found == timeline((pricing.ALWAYS, 1), (day(3), 2), (NOW, 8))


SPANS = st.dictionaries(st.integers(1, 30).map(day), st.integers(0, 5), max_size=4)


@given(SPANS, st.integers(0, 5), SPANS, st.integers(0, 5))
def test_after_any_sync_the_list_is_in_force_and_a_second_changes_nothing(
    known: dict[datetime, int], first: int, said: dict[datetime, int], base: int
) -> None:
    old = timeline((pricing.ALWAYS, first), *sorted(known.items()))
    new = listed((pricing.ALWAYS, base), *sorted(said.items()))

    found = merged(old, new, NOW)

    for at in (NOW, NOW + timedelta(days=3), NOW + timedelta(days=30)):
        assert in_force(found, at) == in_force(dict(new.spans), at)
    assert {since: old[since] for since in old if since <= NOW}.items() <= found.items()
    assert merged(found, new, NOW + timedelta(minutes=1)) == found


def in_force(found: Timeline, at: datetime) -> Sheet:
    return found[max(since for since in found if since <= at)]


@pytest.fixture
def sync(db: None, settings: Any) -> Callable[..., Any]:
    """Set up the provider `openai`, and return a function that runs the command and returns its document."""
    settings.AI_PROVIDERS = {
        "openai": {"adapter": "openai", "base_url": "https://api.openai.com/v1"},
        "local": {"adapter": "openai", "base_url": "http://localhost:9/v1"},
    }
    control.ensure_providers(NOW)

    def run(*arguments: str) -> Any:
        out = StringIO()
        call_command("sync_prices", "--json", *arguments, stdout=out)
        return json.loads(out.getvalue())

    return run


def cost(model: str, at: datetime = NOW) -> Decimal | None:
    return gateway.cost_usd(Candidate("openai", model), MILLION, at)


def test_a_sync_prices_what_was_unpriced_and_a_second_finds_nothing_to_do(sync: Callable[..., Any]) -> None:
    assert cost("gpt-4o-2024-11-20") is None

    first, second = sync(), sync()

    assert cost("gpt-4o-2024-11-20") == Decimal("2.5")
    assert [each["provider"] for each in first["providers"]] == ["openai"], "nobody publishes prices of `local`"
    assert first["providers"][0]["new"] > 100
    assert (second["providers"][0]["new"], second["providers"][0]["changed"]) == (0, 0)


def test_a_dry_run_says_the_same_and_writes_nothing(sync: Callable[..., Any]) -> None:
    would = sync("--dry-run")

    assert not Price.objects.exists()
    assert would["providers"] == sync()["providers"]


def test_a_price_that_changed_closes_the_old_row_and_shows_both(sync: Callable[..., Any]) -> None:
    sync()
    Price.objects.filter(model="gpt-4o", variant="").update(input_usd=5)

    found = sync()["providers"][0]

    (change,) = found["changes"]
    assert (change["model"], change["before"]["0"]["input"], change["after"]["0"]["input"]) == (
        "gpt-4o",
        "5.000000",
        "2.500000",
    )
    old, new = Price.objects.filter(model="gpt-4o", variant="").order_by("effective_from")
    assert old.effective_until == new.effective_from
    assert new.effective_until is None
    assert cost("gpt-4o", NOW.replace(year=2025)) == 5
    assert cost("gpt-4o", new.effective_from) == Decimal("2.5")


def test_an_operators_price_wins_and_is_kept(sync: Callable[..., Any]) -> None:
    mine = Price.objects.create(
        provider_id="openai", model="gpt-4o", effective_from=pricing.ALWAYS, input_usd=1, source="our contract"
    )

    sync()
    sync()

    assert cost("gpt-4o") == 1
    assert Price.objects.get(pk=mine.pk).changed_at == mine.changed_at


def test_what_is_no_longer_listed_keeps_its_price(sync: Callable[..., Any]) -> None:
    sync()
    row = Price.objects.get(model="gpt-4o", variant="")
    row.model, row.match, row.rank = "gone-model", {"equals": "gone-model"}, 5000
    row.save()

    sync()

    assert cost("gone-model") == Decimal("2.5")


def test_a_named_list_goes_before_the_base_url(sync: Callable[..., Any]) -> None:
    Provider.objects.filter(pk="local").update(price_list="anthropic")

    found = sync("--provider", "local")

    assert [each["list"] for each in found["providers"]] == ["anthropic"]
    assert gateway.cost_usd(
        Candidate("local", "claude-sonnet-4-5-20250929"), Usage(input_tokens=1_000), NOW
    ) == Decimal("0.003")
    assert cost("gpt-4o") is None


@pytest.mark.parametrize("problem", ["provider", "list"])
def test_a_name_that_nobody_knows_is_refused_before_anything_is_written(sync: Callable[..., Any], problem: str) -> None:
    if problem == "list":
        Provider.objects.filter(pk="local").update(price_list="nobody")

    with pytest.raises(CommandError, match="nobody"):
        sync("--provider", "nobody" if problem == "provider" else "local")

    assert not Price.objects.exists()


def test_people_read_what_changes(sync: Callable[..., Any]) -> None:
    out = StringIO()

    call_command("sync_prices", "--dry-run", stdout=out)

    said = out.getvalue()
    assert "openai: list openai of genai-prices" in said
    assert "gpt-4" in said
    assert "local: no price list is known" in said
    assert "dry run" in said
