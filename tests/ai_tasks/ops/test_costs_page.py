"""Costs: the same sums on the page, in the file and over REST; against the month before; the forecast and the limit."""

import csv
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks.accounts.fields import plain_usd
from ai_tasks.ops.pages.burndown import Burndown
from tests.ai_tasks.api.test_usage import spend
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.ops.conftest import SignIn
from tests.engine import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def shown(client: Client, **query: str) -> Any:
    return client.get(reverse("ops:costs"), {"month": "2026-11", **query})


def lines_of_file(client: Client, **query: str) -> list[dict[str, str]]:
    text = client.get(reverse("ops:costs-file"), {"month": "2026-11", **query}).content.decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(StringIO(text[1:])))


@pytest.mark.parametrize("query", [{}, {"provider": "simulator"}, {"user": "bob"}, {"time_zone": "Asia/Tokyo"}])
def test_page_file_and_rest_tell_the_same(root: Client, alice: User, bob: User, query: dict[str, str]) -> None:
    for number, owner in enumerate((alice, bob, alice)):
        at = NOW - timedelta(days=number)
        spend(
            owner,
            at,
            amount_usd=Decimal("1.0000000007") * (number + 1),
            provider=f"{['simulator', 'other'][number % 2]}",
        )
    until = {"since": "2026-11-01", "until": "2026-12-01", "group_by": "day"}

    page = shown(root, **query)
    rest = root.get("/api/v1/usage", {**until, "user": "all", **{k: v for k, v in query.items() if k != "user"}}).json()

    total = page.context["total"].cost_usd
    assert total == sum(Decimal(line["cost_usd"]) for line in lines_of_file(root, **query))
    assert plain_usd(total) in page.content.decode()
    if "user" not in query:
        assert total == Decimal(rest["total"]["cost_usd"])


def test_a_table_for_each_kind_the_dearest_first(root: Client, alice: User, bob: User) -> None:
    spend(alice, NOW, amount_usd=Decimal(1), model="sim-1")
    spend(bob, NOW, amount_usd=Decimal(3), model="sim-large")

    tables = {kind: rows for kind, _, rows, _ in shown(root).context["tables"]}

    assert [(row.name, row.cost_usd, row.share) for row in tables["user"]] == [("bob", 3, 0.75), ("alice", 1, 0.25)]
    assert [row.name for row in tables["model"]] == ["sim-large", "sim-1"]


def test_a_month_is_compared_with_the_one_before(root: Client, alice: User) -> None:
    spend(alice, NOW.replace(month=9, day=3), amount_usd=Decimal(2))
    spend(alice, NOW.replace(month=10, day=3), amount_usd=Decimal(3))

    page = shown(root, month="2026-10")

    assert page.context["change"] == 0.5
    assert "+50%" in page.content.decode()


def test_a_view_can_be_narrowed_by_what_it_shows(root: Client, alice: User) -> None:
    spend(alice, NOW, amount_usd=Decimal(1))

    assert '<a href="?month=2026-11&amp;provider=simulator">simulator</a>' in shown(root).content.decode()


def test_the_limit_is_that_of_the_budget_that_bounds_what_is_shown(
    root: Client, alice: User, make_budget: MakeBudget
) -> None:
    make_budget("100")
    spend(alice, NOW, amount_usd=Decimal(25))

    assert shown(root).context["month"].limit == 100
    assert shown(root).context["month"].limit_share == 0.25
    assert shown(root, provider="simulator").context["month"].limit is None


@pytest.mark.parametrize(
    ("spent", "limit", "part", "forecast", "reached"),
    [
        (30, 100, 0.5, 60, None),
        (60, 100, 0.5, 120, date(2026, 11, 26)),
        (60, None, 0.5, 120, None),
        (60, 50, 1.0, None, None),
        (0, 50, 0.0, None, None),
    ],
)
def test_the_forecast_is_a_straight_line(
    spent: int, limit: int | None, part: float, forecast: int | None, reached: date | None
) -> None:
    first = date(2026, 11, 1)
    month = Burndown(first, Decimal(spent), None if limit is None else Decimal(limit), part, {first: Decimal(spent)})

    assert month.forecast == forecast
    assert month.reached_on == reached
    assert "<polyline" in month.chart().picture or part == 0


def test_the_file_takes_nothing_for_a_formula(root: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(username="=1+1")
    spend(alice, NOW)

    assert lines_of_file(root)[0]["user"] == "'=1+1"


def test_taking_the_file_away_is_a_right_of_its_own(sign_in: SignIn) -> None:
    client = sign_in("ai_tasks.view_costs")

    assert client.get(reverse("ops:costs-file")).status_code == 403
    assert "Download CSV" not in shown(client).content.decode()


@pytest.mark.parametrize(
    "query", [{"month": "x"}, {"month": "9999-12"}, {"time_zone": "Mars"}, {"time_zone": "../x"}, {"user": "nobody"}]
)
def test_what_cannot_be_is_refused(root: Client, query: dict[str, str]) -> None:
    answered = shown(root, **query)

    assert answered.status_code == 400
    assert 'role="alert"' in answered.content.decode()
