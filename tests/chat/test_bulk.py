"""Many sessions at once: archive, take out, delete, export; what the month used."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
from ai_tasks.models import AIGenerationTask
from chat import conversation, usage
from chat.models import ChatSession
from tests import engine

pytestmark = pytest.mark.django_db(transaction=True)

Call = Callable[..., Any]


def start(owner: User, *titles: str, **options: Any) -> list[ChatSession]:
    return [conversation.start_session(owner, title=title, **options) for title in titles]


def states(*sessions: ChatSession) -> list[str]:
    return [ChatSession.objects.get(pk=session.pk).state for session in sessions]


def test_the_named_sessions_are_archived_taken_out_and_deleted(call: Call, alice: User) -> None:
    one, two, three = start(alice, "one", "two", "three")
    ids = [str(one.pk), str(two.pk)]

    for action, state in (("archive", "archived"), ("unarchive", "active"), ("delete", "deleted")):
        answer = call("post", "/sessions/bulk", {"action": action, "ids": ids})

        assert answer.json() == {"changed": 2, "skipped": 0, "has_more": False}
        assert states(one, two, three) == [state, state, "active"]


def test_all_that_a_search_finds_are_changed(call: Call, alice: User) -> None:
    tea, green, coffee = start(alice, "tea", "green tea", "coffee")
    archived = start(alice, "old tea")[0]
    conversation.archive(archived)

    answer = call("post", "/sessions/bulk", {"action": "delete", "matching": {"q": "tea", "state": "open"}})

    assert answer.json()["changed"] == 2
    assert states(tea, green, coffee, archived) == ["deleted", "deleted", "active", "archived"]


def test_other_peoples_sessions_are_left_alone(call: Call, alice: User, bob: User) -> None:
    [bobs] = start(bob, "tea")

    by_id = call("post", "/sessions/bulk", {"action": "delete", "ids": [str(bobs.pk), str(uuid4())]})
    by_search = call("post", "/sessions/bulk", {"action": "delete", "matching": {}})

    assert by_id.json()["changed"] == by_search.json()["changed"] == 0
    assert states(bobs) == ["active"]


def test_what_cannot_be_changed_is_skipped(call: Call, alice: User) -> None:
    item = ("order", "1")
    [first] = start(alice, "first", item=item)
    conversation.archive(first)
    start(alice, "second", item=item)

    answer = call("post", "/sessions/bulk", {"action": "unarchive", "ids": [str(first.pk)]})

    assert answer.json() == {"changed": 0, "skipped": 1, "has_more": False}
    assert states(first) == ["archived"]


def test_deleting_many_stops_what_is_being_written(call: Call, alice: User) -> None:
    [session] = start(alice, "one")
    _, reply = conversation.send_message(session, "Hello")

    call("post", "/sessions/bulk", {"action": "delete", "ids": [str(session.pk)]})

    assert AIGenerationTask.objects.get(pk=reply.task_id).status == "cancelled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "delete"},
        {"action": "explode", "ids": []},
        {"action": "delete", "ids": ["x"]},
        {"action": "delete", "ids": [str(uuid4())] * 1_001},
        {"action": "delete", "ids": [], "matching": {}},
        {"action": "delete", "matching": {"state": "deleted"}},
        {"action": "delete", "matching": {"owner": 1}},
        {"action": "delete", "matching": {"q": "\x00"}},
    ],
)
def test_a_wish_of_another_shape_is_refused_and_changes_nothing(call: Call, alice: User, body: Any) -> None:
    [session] = start(alice, "one")

    assert call("post", "/sessions/bulk", body).status_code in (400, 422)
    assert states(session) == ["active"]


@pytest.mark.parametrize("wanted", ["json", "md"])
def test_everything_is_exported_as_one_file(call: Call, alice: User, bob: User, wanted: str) -> None:
    one, two = start(alice, "First chat", "Second chat")
    start(bob, "Secret chat")
    conversation.send_message(one, "Hello there")

    everything = call("get", f"/export?as={wanted}")
    chosen = call("get", f"/export?as={wanted}&ids={two.pk}")
    found = call("get", f"/export?as={wanted}&q=there")

    assert everything["Content-Disposition"] == f'attachment; filename="chats.{wanted}"'
    assert [title in everything.text for title in TITLES] == [True, True, False]
    assert [title in chosen.text for title in TITLES] == [False, True, False]
    assert [title in found.text for title in TITLES] == [True, False, False]


TITLES = ("First chat", "Second chat", "Secret chat")


@pytest.mark.parametrize("query", ["as=pdf", "nonsense=1", "state=deleted", "q=%00"])
def test_an_export_of_another_shape_is_refused(call: Call, query: str) -> None:
    answer = call("get", f"/export?{query}")

    assert answer.status_code == 422 or (query == "state=deleted" and answer.json()["data"] == [])


def test_the_month_counts_every_reply_and_the_names_of_chats(call: Call, alice: User) -> None:
    [session] = start(alice, "")
    conversation.send_message(session, "Hello", simulate={"latency_ms": 0, "tokens_per_second": 0})
    engine.run_admitted()
    engine.run_admitted()
    used = [task.usage["total_tokens"] for task in AIGenerationTask.objects.all()]

    month = call("get", "/month").json()

    assert len(used) == 2
    assert month["total_tokens"] == sum(used)
    assert Decimal(month["cost_usd"]) > 0
    assert month["limit"] is None


def test_the_month_shows_the_own_limit_with_amounts_and_a_common_one_without(alice: User, now: datetime) -> None:
    budgets.store(Budget(scope=Budget.Scope.GLOBAL, limit_usd=Decimal(100), time_zone="UTC"), now)
    common = usage.month_json(alice, now)["limit"]
    budgets.store(Budget(scope=Budget.Scope.USER, scope_key=str(alice.pk), limit_usd=Decimal(5), time_zone="UTC"), now)
    periods = budgets.current_periods(list(Budget.objects.filter(scope=Budget.Scope.USER)), now)
    periods[0].spent_usd = Decimal(4)
    periods[0].save()
    own = usage.month_json(alice, now)["limit"]

    assert (common["scope"], common["share"], common["limit_usd"], common["used_usd"]) == ("global", 0, None, None)
    assert (own["scope"], own["share"], own["limit_usd"], own["used_usd"]) == ("user", 0.8, "5", "4")
    assert own["resets_at"] == "2026-12-01T00:00:00.000Z"


def test_last_month_is_over(alice: User) -> None:
    [session] = start(alice, "")
    conversation.send_message(session, "Hello", simulate={"latency_ms": 0, "tokens_per_second": 0})
    engine.run_admitted()

    assert usage.month_json(alice, datetime(2100, 1, 1, tzinfo=UTC))["total_tokens"] == 0
