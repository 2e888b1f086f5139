"""POST /redrives, GET, stop and resume."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from ai_tasks.redrives import jobs
from queueing.models import DeadLetter, QueueEntry, Redrive
from tests.ai_tasks.api.operator import call, carol
from tests.ai_tasks.graves import bury, letter_of

__all__ = ["call", "carol"]

pytestmark = pytest.mark.django_db


def run(job: dict[str, Any]) -> None:
    for _ in jobs.carry_out(Redrive.objects.get(pk=job["id"]).pk):
        pass


def test_a_job_is_stored_and_shows_how_far_it_is(call: Any, alice: User) -> None:
    bury(alice, 3)
    bury(alice, error_class="overloaded")

    made = call("post", "/redrives", {"filter": {"error_class": "unavailable"}, "rate": 0.01, "reason": "Ours."})
    run(made.json())

    job = call("get", f"/redrives/{made.json()['id']}").json()
    assert (made.status_code, made["Location"]) == (202, f"/api/v1/redrives/{job['id']}")
    assert (made.json()["state"], made.json()["done"]) == ("running", 0)
    assert (job["object"], job["state"], job["total"], job["done"]) == ("redrive", "running", 3, 1)
    assert (job["provider"], job["rate"], job["requested_by"], job["reason"]) == ("same", 0.01, "carol", "Ours.")
    assert job["filter"] == {"error_class": ["unavailable"]}
    assert call("get", "/redrives").json()["data"] == [job]


def test_each_letter_tells_what_a_job_did_with_it(call: Any, alice: User) -> None:
    sent, failed = bury(alice, 2)
    type(failed).objects.filter(pk=failed.pk).update(type="nobody.knows")
    made = call("post", "/redrives", {"ids": [str(sent.pk), str(letter_of(failed).pk)]}).json()
    run(made)

    letters = call("get", "/dead-letters", query={"redrive": made["id"], "resolution": "any"}).json()["data"]

    assert [(letter["task_id"], letter["redrive"]["outcome"]) for letter in letters] == [
        (str(failed.pk), "failed"),
        (str(sent.pk), "sent"),
    ]
    assert letters[0]["redrive"]["detail"]


def test_a_dry_run_counts_and_stores_nothing(call: Any, alice: User) -> None:
    bury(alice, 3)
    deleted = bury(alice, deleted_at="2026-11-23T06:00:00Z")[0]

    answer = call("post", "/redrives", {"filter": {}, "dry_run": True})

    found = answer.json()
    assert (answer.status_code, found["object"]) == (200, "redrive_preview")
    assert (found["total"], found["eligible"], found["skipped"]) == (4, 3, {"Its task is deleted.": 1})
    assert (found["estimated_cost_usd"], found["unpriced"]) == ("0.0009", 0)
    assert [(group["error_class"], group["count"]) for group in found["groups"]] == [("unavailable", 4)]
    assert found["groups"][0]["example"]["task_id"] == str(deleted.pk)
    assert not Redrive.objects.exists()


def test_a_key_sent_again_gives_the_same_job(call: Any, alice: User, assert_problem: Any) -> None:
    bury(alice)

    first = call("post", "/redrives", {"filter": {}}, key="k1")
    again = call("post", "/redrives", {"filter": {}}, key="k1")
    other = call("post", "/redrives", {"filter": {}, "rate": 1}, key="k1")

    assert first.json()["id"] == again.json()["id"]
    assert again["Idempotency-Replayed"] == "true"
    assert_problem(other, 422, "idempotency_mismatch")
    assert Redrive.objects.count() == 1


def test_a_job_is_stopped_and_resumed(call: Any, alice: User, assert_problem: Any) -> None:
    bury(alice, 2)
    job = call("post", "/redrives", {"filter": {}, "rate": 0.01}).json()
    path = f"/redrives/{job['id']}"
    run(job)

    stopped, again = call("post", f"{path}/stop"), call("post", f"{path}/stop")
    assert (stopped.json()["state"], stopped.json()["stopped_by"]) == ("stopped", "carol")
    assert again.json() == stopped.json()
    assert call("post", f"{path}/resume").json()["state"] == "running"
    assert call("post", f"{path}/resume").json()["state"] == "running"

    Redrive.objects.update(state="finished")
    assert call("post", f"{path}/stop").json()["state"] == "finished"
    assert_problem(call("post", f"{path}/resume"), 409, "not_possible")
    assert QueueEntry.objects.count() == 1


@pytest.mark.parametrize("path", ["", "/stop", "/resume"])
def test_an_unknown_job_is_not_found(call: Any, assert_problem: Any, path: str) -> None:
    assert_problem(call("post" if path else "get", f"/redrives/{uuid4()}{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "invalid_input", ""),
        ({"filter": {"provder": "x"}}, "invalid_input", "/filter/provder"),
        ({"filter": {"ids": ["1"]}}, "invalid_input", "/filter/ids"),
        ({"filter": {}, "provider": "nobody"}, "unknown_model", "/provider"),
        ({"filter": {}, "provider": "nobody", "dry_run": True}, "unknown_model", "/provider"),
        ({"filter": {}, "provider": 7}, "invalid_input", "/provider"),
        ({"filter": {}, "rate": 0}, "invalid_input", "/rate"),
        ({"filter": {}, "rate": -1}, "invalid_input", "/rate"),
        ({"filter": {}, "rate": 1_001}, "invalid_input", "/rate"),
        ({"filter": {}, "rate": "5"}, "invalid_input", "/rate"),
        ({"filter": {}, "rate": True}, "invalid_input", "/rate"),
        ({"filter": {}, "dry_run": 1}, "invalid_input", "/dry_run"),
        ({"filter": {}, "reason": "x" * 201}, "invalid_input", "/reason"),
        ({"filter": {}, "speed": 5}, "invalid_input", "/speed"),
    ],
    ids=str,
)
def test_a_wish_that_cannot_be_is_refused(
    call: Any, alice: User, assert_problem: Any, body: Any, code: str, pointer: str
) -> None:
    bury(alice)

    assert_problem(call("post", "/redrives", body), 422, code, pointer)

    assert not Redrive.objects.exists()
    assert DeadLetter.objects.open().count() == 1
