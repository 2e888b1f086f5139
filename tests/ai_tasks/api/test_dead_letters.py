"""GET /dead-letters and its groups; POST discard and redrive."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.models import AIGenerationTask
from queueing.models import DeadLetter
from tests.ai_tasks.api.operator import call, carol
from tests.ai_tasks.graves import bury, letter_of

__all__ = ["call", "carol"]

pytestmark = pytest.mark.django_db


def test_open_letters_are_listed_newest_first_in_pages(call: Any, alice: User) -> None:
    tasks = bury(alice, 5)

    first = call("get", "/dead-letters", query={"limit": 3}).json()
    second = call("get", "/dead-letters", query={"limit": 3, "cursor": first["next"]}).json()

    assert (first["object"], first["has_more"], second["has_more"], second["next"]) == ("list", True, False, None)
    listed = [letter["task_id"] for letter in first["data"] + second["data"]]
    assert listed == [str(task.pk) for task in reversed(tasks)]


def test_a_letter_shows_why_and_whose(call: Any, alice: User) -> None:
    task = bury(alice)[0]

    letter = call("get", f"/dead-letters/{letter_of(task).pk}").json()

    assert (letter["object"], letter["task_id"], letter["owner_id"]) == ("dead_letter", str(task.pk), str(alice.pk))
    assert (letter["reason"], letter["error"]) == ("tries_used_up", {"code": "unavailable", "message": "No."})
    assert (letter["resolution"], letter["redrive"], letter["new_task_id"]) == ("open", None, None)


def test_letters_are_filtered(call: Any, alice: User, bob: User) -> None:
    bury(alice, 2)
    bury(bob, error_class="overloaded")

    def count(**query: Any) -> int:
        return len(call("get", "/dead-letters", query=query).json()["data"])

    assert count(error_class="overloaded") == 1
    assert count(owner=str(alice.pk)) == 2
    assert count(error_class=["overloaded", "unavailable"]) == 3
    assert count(resolution="discarded") == 0
    assert count(created_after="2026-11-23T06:00:01Z") == 0


@pytest.mark.parametrize("path", ["/dead-letters", "/dead-letters/groups"])
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"eror_class": "x"}, "?eror_class"),
        ({"provider": ""}, "?provider"),
        ({"ids": "1"}, "?ids"),
        ({"created_after": "yesterday"}, "?created_after"),
        ({"provider": "\x00"}, "?provider"),
        ({"cursor": "x"}, "?cursor"),
        ({"limit": "101"}, "?limit"),
    ],
    ids=str,
)
def test_a_wrong_filter_is_refused(call: Any, assert_problem: Any, path: str, query: Any, pointer: str) -> None:
    assert_problem(call("get", path, query=query), 422, "invalid_input", pointer)


def test_groups_are_counted_largest_first_in_pages(call: Any, alice: User) -> None:
    bury(alice, 1, error_class="overloaded")
    newest = bury(alice, 3)[-1]
    bury(alice, 1, error_class="bad_request")

    first = call("get", "/dead-letters/groups", query={"limit": 2}).json()
    second = call("get", "/dead-letters/groups", query={"limit": 2, "cursor": first["next"]}).json()

    groups = first["data"] + second["data"]
    assert [(group["error_class"], group["count"]) for group in groups] == [
        ("unavailable", 3),
        ("bad_request", 1),
        ("overloaded", 1),
    ]
    assert groups[0]["example"]["task_id"] == str(newest.pk)
    assert second["next"] is None


def test_letters_are_discarded_with_who_and_why(call: Any, alice: User) -> None:
    bury(alice, 2)
    bury(alice, error_class="overloaded")
    body = {"filter": {"error_class": "unavailable"}, "reason": "Known."}

    dry = call("post", "/dead-letters/discard", body | {"dry_run": True}).json()
    assert (dry, DeadLetter.objects.open().count()) == ({"object": "discard", "dry_run": True, "count": 2}, 3)

    done, again = (call("post", "/dead-letters/discard", body).json()["count"] for _ in range(2))
    assert (done, again, DeadLetter.objects.open().count()) == (2, 0, 1)
    letter = call("get", "/dead-letters", query={"resolution": "discarded"}).json()["data"][0]
    assert (letter["resolved_by"], letter["resolution_reason"]) == ("carol", "Known.")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"filter": {}}, "/reason"),
        ({"reason": "x"}, ""),
        ({"filter": {}, "ids": ["x"], "reason": "x"}, ""),
        ({"filter": {"providr": "x"}, "reason": "x"}, "/filter/providr"),
        ({"filter": {"resolution": "redriven"}, "reason": "x"}, "/filter/resolution"),
        ({"filter": [], "reason": "x"}, "/filter"),
        ({"ids": ["1"], "reason": "x"}, "/ids"),
        ({"ids": [], "reason": "x"}, "/ids"),
        ({"ids": [1], "reason": "x"}, "/ids/0"),
        ({"filter": {}, "reason": "x", "dry_run": "yes"}, "/dry_run"),
        ({"filter": {}, "reason": "x", "all": True}, "/all"),
    ],
    ids=str,
)
def test_a_discard_that_cannot_be_is_refused(call: Any, alice: User, body: Any, pointer: str) -> None:
    bury(alice)

    answer = call("post", "/dead-letters/discard", body)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert DeadLetter.objects.open().count() == 1


def test_an_edited_copy_runs_instead(call: Any, alice: User) -> None:
    old = bury(alice)[0]
    path = f"/dead-letters/{letter_of(old).pk}/redrive"
    body = {"input": {"prompt": "Name a lake."}, "reason": "A typo."}

    first, again = call("post", path, body, key="k1"), call("post", path, body, key="k1")
    other = call("post", path, body)

    copy = AIGenerationTask.objects.get(redriven_from=old)
    assert (first.status_code, first.json()["id"], first["Location"]) == (202, str(copy.pk), f"/api/v1/tasks/{copy.pk}")
    assert (again.json()["id"], again["Idempotency-Replayed"]) == (str(copy.pk), "true")
    assert (copy.owner, copy.input) == (alice, {"prompt": "Name a lake."})
    assert (letter_of(old).resolved_by, letter_of(old).new_task_id) == ("carol", copy.pk)
    assert (other.status_code, other.json()["code"]) == (409, "not_possible")


def test_an_edit_that_does_not_fit_is_refused(call: Any, alice: User, assert_problem: Any) -> None:
    old = bury(alice)[0]
    path = f"/dead-letters/{letter_of(old).pk}/redrive"

    assert_problem(call("post", path, {"input": {"prompt": ""}}), 422, "invalid_input", "/input/prompt")
    assert_problem(call("post", path, {"model": "nobody/x"}), 422, "unknown_model", "/model")
    assert_problem(call("post", path, {"owner": "x"}), 422, "invalid_input", "/owner")
    assert letter_of(old).resolution == "open"
