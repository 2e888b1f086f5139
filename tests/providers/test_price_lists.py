"""The lists of genai-prices in our shape: what they say, and that we find and count as that package does."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import types as genai
from genai_prices.data import providers as PUBLISHED

from providers import price_lists
from providers.matching import matches, spellings
from providers.price_book import ALWAYS, Tariff, filled
from providers.price_lists import Listed
from providers.types import Usage

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
BY_ID = {each.id: each for each in PUBLISHED}
LISTS = ("openai", "anthropic", "google", "azure", "openrouter", "mistral", "groq", "x-ai")
USAGES = (Usage(1_000, 200, 0, 300, 0), Usage(250_000, 50_001, 0, 4_000, 0), Usage(10, 0, 0, 0, 0))


def found(listed: list[Listed], name: str) -> Listed | None:
    """Return what a lookup finds: the first that matches the name as it is, else as it is also written."""
    standard = [each for each in listed if not each.variant]
    return next((each for way in spellings(name) for each in standard if matches(each.match, way)), None)


def names_of(list_id: str) -> list[str]:
    """Return every name on the list, each also as callers write it: in capitals, dated; and some that are on none."""
    names = [model.id for _, model, _ in price_lists.models_of(list_id)]
    return [*names, *map(str.upper, names), *(f"{name}-20251211" for name in names), "my-own", "gpt-4o-2024-11-20"]


def tariff(listed: Listed) -> Tariff:
    sheet = next(sheet for since, sheet in reversed(listed.spans) if since <= AT)
    return Tariff(ALWAYS, None, tuple((above, filled(prices)) for above, prices in sheet.items()))


def in_their_words(usage: Usage) -> genai.Usage:
    """Return the usage as the package counts: cached within input."""
    cached = {"cache_read_tokens": usage.cache_read_tokens}
    return genai.Usage(input_tokens=usage.total_input, output_tokens=usage.total_output, **cached)


@pytest.mark.parametrize("list_id", LISTS)
def test_every_name_means_the_model_that_the_package_means(list_id: str) -> None:
    listed, left_out = price_lists.read(list_id)
    models = {label: model for label, model, _ in price_lists.models_of(list_id) if label not in left_out}
    priced = {id(model) for model in models.values()}

    for name in names_of(list_id):
        theirs = BY_ID[list_id].find_model(name, all_providers=PUBLISHED)
        ours = found(listed, name)
        assert (models[ours.model] if ours else None) is (theirs if id(theirs) in priced else None), name


@pytest.mark.parametrize("list_id", LISTS)
def test_every_model_costs_what_the_package_says(list_id: str) -> None:
    listed, _ = price_lists.read(list_id)
    models = {label: model for label, model, _ in price_lists.models_of(list_id)}
    compared = 0

    for each in (one for one in listed if not one.variant):
        for usage in USAGES:
            theirs = models[each.model].calc_price(in_their_words(usage), BY_ID[list_id], genai_request_timestamp=AT)
            ours = tariff(each).cost_usd(usage)
            if ours is not None:
                compared += 1
                assert 0 <= ours - theirs.total_price < Decimal("1e-6") * usage.total / 1_000_000 + Decimal("1e-12"), (
                    each
                )

    assert compared > 50


def test_cached_input_and_reasoning_have_their_prices() -> None:
    listed, _ = price_lists.read("anthropic")
    sonnet = found(listed, "claude-sonnet-4-5")
    assert sonnet

    prices = tariff(sonnet).prices(1)

    assert prices == tuple(map(Decimal, ("3", "0.3", "3.75", "6", "15", "15")))


def test_a_long_context_is_a_tier() -> None:
    listed, _ = price_lists.read("google")
    pro = found(listed, "gemini-2.5-pro")
    assert pro

    assert [above for above, _ in tariff(pro).tiers] == [0, 200_000]
    assert tariff(pro).prices(200_000)[0] == Decimal("1.25")
    assert tariff(pro).prices(200_001)[0] == Decimal("2.5")


def test_a_batch_is_a_variant() -> None:
    listed, _ = price_lists.read("openai")

    batch = next(each for each in listed if each.variant == "batch" and matches(each.match, "gpt-5"))

    standard = found(listed, "gpt-5")
    assert standard
    assert tariff(batch).prices(1)[0] == (tariff(standard).prices(1)[0] or 0) / 2


def test_a_price_by_the_time_of_day_is_its_dearest() -> None:
    listed, _ = price_lists.read("deepseek")
    chat = found(listed, "deepseek-chat")
    assert chat

    assert tariff(chat).prices(1) == tuple(map(Decimal, ("0.27", "0.07", "0.27", "0.27", "1.1", "1.1")))


@pytest.mark.parametrize(
    ("list_id", "name"), [("openai", "whisper-1"), ("openai", "gpt-image-1"), ("mistral", "mistral-ocr-latest")]
)
def test_what_is_not_billed_by_tokens_is_left_out_and_stays_unpriced(list_id: str, name: str) -> None:
    listed, left_out = price_lists.read(list_id)

    assert name in left_out
    assert found(listed, name) is None


def test_a_model_that_says_it_is_free_is_free_and_one_that_says_nothing_is_unpriced() -> None:
    listed, left_out = price_lists.read("openrouter")
    free = found(listed, "deepseek/deepseek-r1:free")
    assert free

    assert set(tariff(free).prices(1)) == {Decimal(0)}
    assert "google/gemini-flash-1.5-8b-exp" in left_out


@pytest.mark.parametrize(
    ("base_url", "slug", "list_id"),
    [
        ("https://api.openai.com/v1", "mine", "openai"),
        ("https://alice.openai.azure.com/openai/v1", "eu", "azure"),
        ("https://openrouter.ai/api/v1", "mine", "openrouter"),
        ("https://generativelanguage.googleapis.com/v1beta", "mine", "google"),
        ("", "anthropic", "anthropic"),
        ("http://localhost:11434/v1", "ollama", ""),
    ],
)
def test_a_providers_list_is_found_by_its_base_url_or_name(base_url: str, slug: str, list_id: str) -> None:
    assert price_lists.list_for(base_url, slug) == list_id
