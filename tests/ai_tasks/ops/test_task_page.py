"""A task's page: why it waits, what its attempts did and cost, and who may read what it was asked."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages import charts
from ai_tasks.ops.pages.task import segments
from providers.errors import Unavailable
from queueing.models import TaskQueue
from tests.ai_tasks.ops.conftest import SignIn
from tests.engine import answer, at, claimed, fresh, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def told(client: Client, task: AIGenerationTask) -> str:
    return client.get(reverse("ops:task", args=[task.pk])).content.decode()


def test_a_waiting_task_tells_why(root: Client, alice: User) -> None:
    task = text_task(alice)
    TaskQueue.objects.pause("simulator", reason="maintenance", now=at(1))

    assert "its provider is paused" in told(root, task)


def test_every_attempt_is_shown_with_its_error_and_its_cost(root: Client, alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.fail(task.pk, claimed().epoch, Unavailable("It is down."), now=at(1))
    lease = claimed(now=at(400))
    AIGenerationTask.objects.complete(task.pk, lease.epoch, answer(), now=at(401))

    shown = told(root, task)

    assert "It is down." in shown
    assert "10 → 5" in shown
    assert "$0.000003" in shown


def test_what_it_was_asked_is_for_those_who_may_see_payloads(root: Client, sign_in: SignIn, alice: User) -> None:
    task = text_task(alice, prompt="My secret plan")
    User.objects.filter(username="carol").update(username="dora")
    viewer = sign_in("ai_tasks.view_aigenerationtask")

    assert "My secret plan" in told(root, task)
    assert "My secret plan" not in told(viewer, task)
    assert "You may not see this" in told(viewer, task)


def test_what_it_cost_is_for_those_who_may_see_costs(root: Client, sign_in: SignIn, alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer())
    User.objects.filter(username="carol").update(username="dora")
    viewer, listed = sign_in("ai_tasks.view_aigenerationtask"), reverse("ops:tasks")

    assert "$0.000003" in told(root, task)
    assert "$" not in told(viewer, task)
    assert ("$" in root.get(listed).content.decode(), "$" in viewer.get(listed).content.decode()) == (True, False)


def test_a_task_that_never_was_is_not_found(root: Client) -> None:
    path = reverse("ops:task", args=["01a20923-d570-73b3-a172-ccf9073e9168"])

    assert root.get(path).status_code == 404


def test_a_timeline_leaves_no_time_out_and_counts_none_twice(alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.fail(task.pk, claimed(now=at(2)).epoch, Unavailable("Down."), now=at(5))
    AIGenerationTask.objects.complete(task.pk, claimed(now=at(400)).epoch, answer(), now=at(410))
    task = fresh(task)

    parts = segments(task, list(task.attempts.order_by("epoch")), at(500))

    assert sum((part.until - part.since for part in parts), timedelta(0)) == at(410) - task.created_at
    assert [part.kind for part in parts] == ["waits", "failed", "waits", "ran"]
    assert charts.timeline("x", parts).count("<rect") == 4
