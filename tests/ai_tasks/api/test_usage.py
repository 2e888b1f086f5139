"""GET /api/v1/usage: the ledger's sums by group; the same in JSON and CSV, before and after they are rolled up."""

import csv
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from ai_tasks import rollups, usage
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.models import AIGenerationTask, Attempt, LedgerEntry, UsageStat
from ai_tasks.tables import safe
from tests.engine import NOW

pytestmark = pytest.mark.django_db
PATH = "/api/v1/usage"
NOVEMBER = {"since": "2026-11-01", "until": "2026-12-01"}
Get = Callable[..., Any]
QUESTION = usage.Question(date(2026, 11, 1), date(2026, 12, 1), group_by=("user",))


@pytest.fixture
def get(client: Client, headers: dict[str, str]) -> Get:
    return lambda headers=headers, **query: client.get(PATH, query, headers=headers)


def spend(owner: User, at: datetime, **values: Any) -> LedgerEntry:
    task = AIGenerationTask.objects.create(
        owner=owner,
        type=values.get("task_type", "text.generate"),
        requested_model="default",
        provider="simulator",
        model="sim-1",
        input={},
        status="completed",
        created_at=at,
        finished_at=at,
        deadline_at=at,
        related_type=values.pop("related_type", ""),
        related_id=values.pop("related_id", ""),
    )
    common = {"provider": "simulator", "model": "sim-1"} | {
        name: values.pop(name) for name in ("provider", "model") if name in values
    }
    attempt = Attempt.objects.create(task=task, epoch=1, dispatch_id=uuid4(), admitted_at=at, **common)
    values = {"task_type": "text.generate", "amount_usd": Decimal("0.01"), "input_tokens": 3, **values}
    return LedgerEntry.objects.create(attempt=attempt, task=task, owner=owner, created_at=at, **common, **values)


def test_sums_are_those_of_the_ledger_rolled_up_or_not(get: Get, alice: User, bob: User) -> None:
    chance = random.Random(7)
    entries = [
        spend(
            chance.choice((alice, alice, bob)),
            datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(20 * 86_400)),
            provider=chance.choice(("simulator", "second")),
            amount_usd=chance.choice((None, Decimal(chance.randrange(10**12)) / 10**10)),
            unpriced=chance.randrange(2),
            cache_read_tokens=chance.randrange(9),
            cache_write_1h_tokens=chance.randrange(9),
            output_tokens=chance.randrange(999),
            reasoning_tokens=chance.choice((None, 5)),
            usage_source=chance.choice(("provider", "estimated")),
        )
        for _ in range(120)
    ]
    own = [entry for entry in entries if entry.owner == alice]
    told = get(group_by="day,provider", **NOVEMBER).json()

    assert told["total"]["cost_usd"] == plain_usd(sum((entry.amount_usd or Decimal(0) for entry in own), Decimal(0)))
    assert told["total"]["calls"] == len(own)
    assert told["total"]["output_tokens"] == sum((e.output_tokens or 0) + (e.reasoning_tokens or 0) for e in own)
    assert told["total"]["unpriced_calls"] == sum(entry.unpriced for entry in own)
    for moment in (NOW - timedelta(days=14), NOW - timedelta(days=3, minutes=7), NOW):
        rollups.roll_up(moment, most=5_000)
        assert get(group_by="day,provider", **NOVEMBER).json() == told

    answer = get(group_by="day,provider", format="csv", **NOVEMBER)
    rows = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert rows == [{name: str(value) for name, value in line.items()} for line in told["data"]]


def test_an_entry_that_is_rolled_up_while_it_is_read_counts_once(get: Get, alice: User) -> None:
    for days in range(3):
        spend(alice, NOW - timedelta(days=days))
    rollups.roll_up(NOW - timedelta(days=1), most=5_000)
    told = get(**NOVEMBER).json()
    overtaken: list[str] = []

    def overtake(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT") and "ledgerentry" in sql and not overtaken:
            overtaken.append(sql)
            rollups.roll_up(NOW + timedelta(days=1), most=5_000)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(overtake):
        assert get(**NOVEMBER).json() == told
    assert overtaken


@pytest.mark.parametrize("path", ["rest", "csv"])
def test_totals_are_equal_wherever_they_are_read(get: Get, client: Client, alice: User, bob: User, path: str) -> None:
    chance = random.Random(path)
    entries = [
        spend(
            chance.choice((alice, bob)),
            NOW - timedelta(seconds=chance.randrange(20 * 86_400)),
            amount_usd=Decimal(chance.randrange(10**14)) / 10**10,
            output_tokens=chance.randrange(999),
        )
        for _ in range(80)
    ]
    rollups.roll_up(NOW - timedelta(days=chance.randrange(20)), most=5_000)
    client.force_login(User.objects.create_superuser("root"))
    groups = ",".join(chance.sample(["day", "provider", "user", "type", "model"], 2))
    query = {"group_by": groups, "time_zone": "Asia/Tokyo", "since": "2026-10-31", "until": "2026-12-01"}

    if path == "csv":
        text = client.get(PATH, {**query, "user": "all", "format": "csv"}).content.decode("utf-8-sig")
        found = [(Decimal(row["cost_usd"]), int(row["output_tokens"])) for row in csv.DictReader(StringIO(text))]
        total = (sum(cost for cost, _ in found), sum(tokens for _, tokens in found))
    else:
        told = client.get(PATH, {**query, "user": "all"}).json()
        found = [(Decimal(row["cost_usd"]), row["output_tokens"]) for row in told["data"]]
        total = (Decimal(told["total"]["cost_usd"]), told["total"]["output_tokens"])

    assert total == (sum(e.amount_usd or 0 for e in entries), sum(e.output_tokens or 0 for e in entries))
    assert (sum(cost for cost, _ in found), sum(tokens for _, tokens in found)) == total


@pytest.mark.parametrize("is_rolled", [False, True])
@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Asia/Tokyo", "2026-10-31T15:00:00", "2026-11-01"),
        ("Asia/Tokyo", "2026-10-31T14:59:59", None),
        ("Asia/Kathmandu", "2026-10-31T18:15:00", "2026-11-01"),
        ("America/New_York", "2026-11-01T05:30:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T04:59:00", "2026-11-01"),
        ("UTC", "2026-11-30T23:59:59", "2026-11-30"),
        ("UTC", "2026-12-01T00:00:00", None),
    ],
)
def test_days_are_parted_by_the_midnights_of_the_time_zone(
    get: Get, alice: User, zone: str, at: str, day: str | None, is_rolled: bool
) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    spend(alice, moment)
    if is_rolled:
        rollups.roll_up(moment + timedelta(hours=1))

    told = get(time_zone=zone, **NOVEMBER).json()

    assert [line["day"] for line in told["data"]] == ([day] if day else [])
    assert ZoneInfo(told["time_zone"]).key == zone


def test_a_report_by_related_things_reads_their_tasks(get: Get, alice: User) -> None:
    spend(alice, NOW, related_type="shop.order", related_id="7", amount_usd=Decimal("0.5"))
    spend(alice, NOW)
    rollups.roll_up(NOW + timedelta(hours=1))

    told = get(group_by="related", **NOVEMBER).json()

    assert {line["related"]: line["cost_usd"] for line in told["data"]} == {"shop.order/7": "0.5", "/": "0.01"}


def test_a_user_sees_nobody_elses_and_an_operator_all(
    get: Get, alice: User, bob: User, key_of: Any, assert_problem: Any
) -> None:
    spend(alice, NOW)
    spend(bob, NOW)

    assert [line["user"] for line in get(group_by="user", **NOVEMBER).json()["data"]] == ["alice"]
    assert_problem(get(user="all", **NOVEMBER), 422, "invalid_input", "?user")

    User.objects.filter(pk=bob.pk).update(is_staff=True)
    everybodys = get({"Authorization": f"Bearer {key_of(bob)}"}, group_by="user", user="all", **NOVEMBER).json()
    assert [line["user"] for line in everybodys["data"]] == ["alice", "bob"]
    without_scope = {"Authorization": f"Bearer {key_of(bob, scopes=['tasks'])}"}
    assert_problem(get(without_scope, user="all", **NOVEMBER), 422, "invalid_input", "?user")


def test_filters_narrow(get: Get, alice: User) -> None:
    spend(alice, NOW, provider="second")
    spend(alice, NOW, task_type="chat.reply")

    assert get(provider="second", **NOVEMBER).json()["total"]["calls"] == 1
    assert get(type="chat.reply", model="sim-1", **NOVEMBER).json()["total"]["calls"] == 1


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"group_by": "day,planet"}, "?group_by"),
        ({"group_by": "day,day"}, "?group_by"),
        ({"group_by": ""}, "?group_by"),
        ({"since": "yesterday"}, "?since"),
        ({"since": "0001-01-01"}, "?since"),
        ({"until": "2026-11-01"}, "?until"),
        ({"since": "2020-01-01"}, "?since"),
        ({"time_zone": "Mars/Olympus"}, "?time_zone"),
        ({"time_zone": "../../etc/passwd"}, "?time_zone"),
        ({"time_zone": "\x00"}, "?time_zone"),
        ({"format": "xml"}, "?format"),
        ({"user": "bob"}, "?user"),
        ({"planet": "Mars"}, "?planet"),
        ({"provider": "\x00"}, "?provider"),
    ],
)
def test_what_cannot_be_reported_is_refused(get: Get, assert_problem: Any, query: Any, pointer: str) -> None:
    assert_problem(get(**NOVEMBER | query), 422, "invalid_input", pointer)


def test_too_long_a_report_is_refused(get: Get, alice: User, assert_problem: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(usage, "MOST_LINES", 1)
    spend(alice, NOW)
    spend(alice, NOW - timedelta(days=1))

    assert_problem(get(**NOVEMBER), 422, "invalid_input", "?since")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("=1+1", "'=1+1"),
        ("@a", "'@a"),
        ("-5", "-5"),
        ("-0.5", "-0.5"),
        ("+a", "'+a"),
        ("\t=1", "'\t=1"),
        ("sim-1", "sim-1"),
    ],
)
def test_no_cell_is_a_formula(cell: str, told: str) -> None:
    assert safe(cell) == told


def test_days_that_are_over_are_rows_of_their_own_and_are_what_is_read(get: Get, alice: User, bob: User) -> None:
    chance, midnight = random.Random(5), datetime(2026, 11, 20, tzinfo=UTC)
    for _ in range(60):
        spend(chance.choice((alice, bob)), midnight - timedelta(seconds=chance.randrange(3 * 86_400)))
    before = usage.report(QUESTION)
    rollups.roll_up(midnight + timedelta(hours=2), most=5_000)

    days = UsageStat.objects.filter(period="day")
    quarters = UsageStat.objects.filter(period="quarter")
    of_tokyo = replace(QUESTION, group_by=("day",), time_zone="Asia/Tokyo")
    told_of_tokyo = usage.report(of_tokyo)

    assert {stat.starts_at for stat in days} == {midnight - timedelta(days=number) for number in (1, 2, 3)}
    assert sum(stat.calls for stat in days) == sum(stat.calls for stat in quarters) == 60
    assert usage.report(QUESTION) == before
    quarters.update(calls=0)
    assert usage.report(QUESTION) == before
    assert usage.report(of_tokyo) != told_of_tokyo
