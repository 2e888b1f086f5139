"""GET /queues/{provider} and its entries; POST pause, resume and reorder."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock
from queueing.models import QueueEntry, TaskQueue
from queueing.states import ParkedReason
from tests.ai_tasks.api.operator import call, carol
from tests.engine import several, text_task

__all__ = ["call", "carol"]

pytestmark = pytest.mark.django_db


def test_a_queue_shows_its_lanes_and_marks(call: Any, alice: User) -> None:
    several(alice, 2)

    queue = call("get", "/queues/simulator").json()

    assert (queue["object"], queue["provider"], queue["waiting"], queue["pressure"]) == (
        "queue",
        "simulator",
        2,
        "normal",
    )
    assert [(lane["lane"], lane["waiting"]) for lane in queue["lanes"]] == [("default", 2), ("long", 0)]
    assert queue["lanes"][0]["hard_mark"] == TaskQueue.objects.queue("simulator").hard_mark


def test_a_pause_says_who_why_and_until_when_and_a_resume_ends_it(call: Any) -> None:
    until = clock.now() + timedelta(hours=1)

    paused = call("post", "/queues/simulator/pause", {"reason": "Their maintenance.", "until": until.isoformat()})
    again = call("post", "/queues/simulator/pause", {"reason": "Still."})
    resumed = call("post", "/queues/simulator/resume", {})

    assert (paused.status_code, paused.json()["is_paused"]) == (200, True)
    assert paused.json()["pause_reason"] == "Their maintenance. (carol)"
    assert paused.json()["paused_until"].startswith(until.strftime("%Y-%m-%dT%H:%M"))
    assert (again.json()["pause_reason"], again.json()["paused_until"]) == ("Still. (carol)", None)
    assert (resumed.json()["is_paused"], resumed.json()["pause_reason"]) == (False, "")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/reason"),
        ({"reason": ""}, "/reason"),
        ({"reason": "x" * 151}, "/reason"),
        ({"reason": "a\nb"}, "/reason"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"reason": "x", "until": "soon"}, "/until"),
        ({"reason": "x", "lane": "long"}, "/lane"),
    ],
    ids=str,
)
def test_a_pause_that_cannot_be_is_refused(call: Any, assert_problem: Any, body: Any, pointer: str) -> None:
    answer = call("post", "/queues/simulator/pause", body)

    assert answer.json()["errors"][0]["pointer"] == pointer
    assert answer.status_code == 422
    assert not TaskQueue.objects.filter(paused_at__isnull=False).exists()


def test_waiting_entries_are_listed_class_by_class_in_pages(call: Any, alice: User, bob: User) -> None:
    for priority in (2, 0, 2, 4):
        text_task(alice, priority=priority)
        text_task(bob, priority=priority)

    seen, cursor = [], None
    while True:
        answer = call(
            "get", "/queues/simulator/entries", query={"limit": 3} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += answer["data"]
        if (cursor := answer["next"]) is None:
            break

    in_order = QueueEntry.objects.order_by("priority", "fair_tag", "id").values_list("task_id", flat=True)
    assert [entry["task_id"] for entry in seen] == [str(task_id) for task_id in in_order]
    assert [entry["priority"] for entry in seen] == ["urgent"] * 2 + ["normal"] * 4 + ["bulk"] * 2


def test_parked_entries_say_why(call: Any, alice: User) -> None:
    tasks = several(alice, 2)
    QueueEntry.objects.filter(task_id=tasks[0].pk).park(reason=ParkedReason.BUDGET, key="1")

    entries = call("get", "/queues/simulator/entries", query={"state": "parked", "lane": "default"}).json()["data"]

    assert [(entry["task_id"], entry["parked_reason"]) for entry in entries] == [(str(tasks[0].pk), "budget")]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"state": "dead"}, "?state"),
        ({"lane": "fast"}, "?lane"),
        ({"limit": "0"}, "?limit"),
        ({"cursor": "x"}, "?cursor"),
        ({"cursor": "\x00"}, "?cursor"),
        ({"sate": "waiting"}, "?sate"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_refused(call: Any, assert_problem: Any, query: Any, pointer: str) -> None:
    assert_problem(call("get", "/queues/simulator/entries", query=query), 422, "invalid_input", pointer)


def test_a_cursor_of_another_list_is_refused(call: Any, alice: User, assert_problem: Any) -> None:
    several(alice, 2)
    cursor = call("get", "/queues/simulator/entries", query={"limit": 1}).json()["next"]

    answer = call("get", "/queues/simulator/entries", query={"state": "parked", "cursor": cursor})

    assert_problem(answer, 422, "invalid_input", "?cursor")


def test_chosen_tasks_get_another_priority_with_their_entries(call: Any, alice: User) -> None:
    third = several(alice, 3)[-1]

    answer = call("post", "/queues/simulator/reorder", {"task_ids": [str(third.pk)], "priority": "urgent"})

    third.refresh_from_db()
    assert answer.json() == {"object": "reorder", "provider": "simulator", "moved": 1}
    assert third.priority == QueueEntry.objects.get(task_id=third.pk).priority == 0
    assert TaskQueue.objects.peek("simulator", now=clock.now())[0].task_id == third.pk


def test_the_whole_order_is_derived_anew(call: Any, alice: User) -> None:
    several(alice, 3)

    assert call("post", "/queues/simulator/reorder", {}).json()["moved"] == 3


@pytest.mark.parametrize(
    "body",
    [
        {"task_ids": ["00000000-0000-7000-8000-000000000000"]},
        {"priority": "high"},
        {"task_ids": [], "priority": "high"},
        {"task_ids": ["x"], "priority": "high"},
        {"task_ids": ["00000000-0000-7000-8000-000000000000"] * 1_001, "priority": "high"},
        {"task_ids": ["00000000-0000-7000-8000-000000000000"], "priority": "soon"},
        {"order": "random"},
        [],
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_reorder_that_cannot_be_is_refused(call: Any, alice: User, body: Any) -> None:
    several(alice, 2)

    assert call("post", "/queues/simulator/reorder", body).status_code in (400, 422)
    assert set(QueueEntry.objects.values_list("priority", flat=True)) == {2}
