"""Idempotency-Key on POST /api/v1/tasks."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import idempotency
from ai_tasks.access.models import IdempotencyRecord
from ai_tasks.models import AIGenerationTask
from queueing.models import TaskQueue
from tests.ai_tasks.api.conftest import PROMPT

ONCE = {"Idempotency-Key": "once"}


@pytest.mark.django_db
def test_the_same_request_again_gives_the_same_task(post: Any) -> None:
    first = post(PROMPT, headers=ONCE)

    again = post(PROMPT, headers=ONCE)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again["Location"] == first["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert AIGenerationTask.objects.count() == 1


@pytest.mark.django_db
def test_order_and_white_space_of_the_body_do_not_count(post: Any) -> None:
    first = post(json.dumps(PROMPT), headers=ONCE)

    again = post(json.dumps(dict(reversed(PROMPT.items())), indent=2), headers=ONCE)

    assert again.json()["id"] == first.json()["id"]


@pytest.mark.django_db
def test_another_body_is_refused(post: Any, assert_problem: Any) -> None:
    post(PROMPT, headers=ONCE)

    response = post(PROMPT | {"priority": "low"}, headers=ONCE)

    assert_problem(response, 422, "idempotency_mismatch")
    assert AIGenerationTask.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_request_leaves_its_key_free(post: Any) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=0)
    post(PROMPT, headers=ONCE)
    TaskQueue.objects.update(hard_mark=None)

    response = post(PROMPT, headers=ONCE)

    assert response.status_code == 202
    assert "Idempotency-Replayed" not in response


@pytest.mark.django_db
def test_two_people_may_use_the_same_key(post: Any, client: Client, bob: User, key_of: Any) -> None:
    mine = post(PROMPT, headers=ONCE)

    theirs = client.post(
        "/api/v1/tasks",
        PROMPT,
        content_type="application/json",
        headers=ONCE | {"Authorization": f"Bearer {key_of(bob)}"},
    )

    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


@pytest.mark.django_db
def test_after_a_day_a_key_is_new_again(post: Any) -> None:
    first = post(PROMPT, headers=ONCE)
    IdempotencyRecord.objects.update(created_at=clock.now() - timedelta(hours=24))

    again = post(PROMPT | {"priority": "low"}, headers=ONCE)

    assert again.status_code == 202
    assert again.json()["id"] != first.json()["id"]


@pytest.mark.django_db
def test_a_key_whose_first_request_has_not_ended_is_409(post: Any, alice: User, assert_problem: Any) -> None:
    digest = idempotency.digest_of(PROMPT)
    idempotency.claim(owner_id=alice.pk, key="once", call="POST /tasks", digest=digest, now=clock.now())

    problem = assert_problem(post(PROMPT, headers=ONCE), 409, "idempotency_in_flight")

    assert problem["retryable"] is True
    assert not AIGenerationTask.objects.exists()


@pytest.mark.django_db
def test_the_key_of_a_deleted_task_is_404(post: Any, assert_problem: Any) -> None:
    post(PROMPT, headers=ONCE)
    AIGenerationTask.objects.update(deleted_at=clock.now())

    assert_problem(post(PROMPT, headers=ONCE), 404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_twins_at_the_same_time_make_one_task(headers: dict[str, str]) -> None:
    barrier = threading.Barrier(4)
    answers: list[Any] = []

    def send() -> None:
        try:
            barrier.wait()
            answers.append(
                Client().post("/api/v1/tasks", PROMPT, content_type="application/json", headers=headers | ONCE)
            )
        finally:
            connection.close()

    twins = [threading.Thread(target=send) for _ in range(4)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()

    assert [answer.status_code for answer in answers] == [202] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer for answer in answers) == 3
    assert AIGenerationTask.objects.count() == 1
