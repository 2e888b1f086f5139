"""GET /api/v1/budgets."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget, BudgetPeriod

pytestmark = pytest.mark.django_db
PATH = "/api/v1/budgets"


def make(scope: str = "global", key: str = "", **columns: Any) -> Budget:
    budget = Budget(scope=scope, scope_key=key, limit_usd=Decimal(columns.pop("limit", "1")), **columns)
    budgets.store(budget, clock.now())
    return budget


def use(budget: Budget, spent: str, held: str = "0") -> None:
    (period,) = budgets.current_periods([budget], clock.now())
    BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd=Decimal(spent), held_usd=Decimal(held))


def listed(client: Client, query: str = "") -> list[Any]:
    answer = client.get(PATH + query)
    assert answer.status_code == 200, answer.content
    return list(answer.json()["data"])


def test_a_user_sees_their_own_and_nobody_elses(client: Client, alice: User, bob: User) -> None:
    mine = make("user", str(alice.pk))
    make("user", str(bob.pk))
    make()
    client.force_login(alice)

    assert [each["id"] for each in listed(client)] == [mine.pk]


def test_staff_see_all_by_session_or_by_a_key_for_operations(client: Client, bob: User, key_of: Any) -> None:
    own, everything = make("user", str(bob.pk)), make()
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    wide = {"Authorization": f"Bearer {key_of(bob)}"}
    narrow = {"Authorization": f"Bearer {key_of(bob, scopes=['tasks'])}"}

    assert [each["id"] for each in client.get(PATH, headers=wide).json()["data"]] == [everything.pk, own.pk]
    assert [each["id"] for each in client.get(PATH, headers=narrow).json()["data"]] == [own.pk]


def test_without_a_name_nothing_is_shown(client: Client, assert_problem: Any) -> None:
    assert_problem(client.get(PATH), 401, "not_authenticated")


def test_it_says_what_is_used_what_is_left_and_when_it_begins_anew(client: Client, alice: User) -> None:
    budget = make("user", str(alice.pk), limit="10", time_zone="Asia/Tokyo", interval="day")
    use(budget, "7.5", "1.25")
    client.force_login(alice)

    (shown,) = listed(client)

    (period,) = budgets.current_periods([budget], clock.now())
    amounts = {"limit_usd": "10", "spent_usd": "7.5", "held_usd": "1.25", "used_usd": "8.75", "left_usd": "1.25"}
    names = {"object": "budget", "scope": "user", "key": str(alice.pk), "interval": "day", "time_zone": "Asia/Tokyo"}
    assert shown.items() >= (amounts | names | {"period": period.period, "state": "near_limit"}).items()
    assert shown["resets_at"] == f"{period.ends_at:%Y-%m-%dT%H:%M:%S}.000Z"


@pytest.mark.parametrize(
    ("spent", "held", "state"),
    [("0", "0", "available"), ("0.79", "0", "available"), ("0.5", "0.3", "near_limit"), ("0.5", "0.5", "exhausted")],
)
def test_its_state_is_by_what_is_spent_and_held(client: Client, alice: User, spent: str, held: str, state: str) -> None:
    use(make("user", str(alice.pk)), spent, held)
    client.force_login(alice)

    assert listed(client)[0]["state"] == state


def test_one_that_is_disabled_says_so(client: Client, alice: User) -> None:
    make("user", str(alice.pk), is_enabled=False)
    client.force_login(alice)

    assert listed(client)[0]["state"] == "disabled"


def test_looking_writes_nothing(client: Client, alice: User) -> None:
    make("user", str(alice.pk))
    client.force_login(alice)

    listed(client)

    assert not BudgetPeriod.objects.exists()


def test_pages_follow_each_other(client: Client, bob: User) -> None:
    made = [make("provider", f"p-{number}").pk for number in range(5)]
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)

    seen, query = [], "?limit=2"
    while query:
        page = client.get(PATH + query).json()
        seen += [each["id"] for each in page["data"]]
        query = f"?limit=2&cursor={page['next']}" if page["has_more"] else ""

    assert seen == made[::-1]
    assert [each["scope"] for each in listed(client, "?scope=user")] == []


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=0", "scope=galaxy", "skope=user", "scope=%00", "%ff=1"])
def test_a_parameter_that_does_not_fit_is_refused(client: Client, alice: User, query: str) -> None:
    client.force_login(alice)

    assert client.get(f"{PATH}?{query}").status_code == 422
