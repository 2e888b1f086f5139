"""Finish hooks: noted with the end, run after it, at least once."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks import clock, finish_hooks
from ai_tasks.models import AIGenerationTask, FinishHook
from ai_tasks.states import TaskStatus
from ai_tasks.submission import TaskRequest, cancel, submit
from ai_tasks.task_types import registry
from ai_tasks.task_types.base import TaskType
from ai_tasks.task_types.text import TEXT_GENERATE
from providers.errors import BadRequest
from tests.engine import NOW, answer, at, claimed, run_admitted

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects

told: list[UUID] = []
failing: list[Exception] = []


def on_finished(task_id: UUID) -> None:
    """Remember the task, or fail as the test says."""
    told.append(task_id)
    if failing:
        raise failing.pop()


HOOKED = TaskType(name="test.hooked", input_schema={}, build=TEXT_GENERATE.build, on_finished=on_finished)


@pytest.fixture(autouse=True)
def _hooked_type(settings: Any) -> Iterator[None]:
    settings.AI_TASK_TYPES = [*settings.AI_TASK_TYPES, f"{__name__}.HOOKED"]
    registry.all_types.cache_clear()
    told.clear()
    failing.clear()
    yield
    registry.all_types.cache_clear()


def hooked(owner: User, *, now: datetime = NOW) -> AIGenerationTask:
    return submit(owner, TaskRequest(type="test.hooked", input={"prompt": "a"}), now=now)


def finish(task: AIGenerationTask) -> None:
    tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))


def test_the_hook_is_noted_with_the_end_and_runs_after_it(alice: User) -> None:
    task = hooked(alice)
    finish(task)
    assert (FinishHook.objects.count(), told) == (1, [])

    assert finish_hooks.run_for(task.pk) == 1

    assert (FinishHook.objects.count(), told) == (0, [task.pk])


def test_no_hook_is_noted_when_the_end_is_rolled_back(alice: User) -> None:
    task = hooked(alice)

    with transaction.atomic():
        finish(task)
        transaction.set_rollback(True)

    assert not FinishHook.objects.exists()


def test_the_sweep_runs_what_nobody_ran(alice: User) -> None:
    task = hooked(alice)
    finish(task)

    assert finish_hooks.run_due(at(2)) == 0
    assert finish_hooks.run_due(at(60)) == 1
    assert finish_hooks.run_due(at(60)) == 0
    assert told == [task.pk]


def test_a_failing_hook_is_tried_again_later_and_says_why(alice: User) -> None:
    task = hooked(alice)
    finish(task)
    failing.append(ValueError("not today"))

    assert finish_hooks.run_due(at(60)) == 0
    assert FinishHook.objects.get().last_error == "ValueError: not today"
    assert finish_hooks.run_due(at(61)) == 0, "not at once"
    assert finish_hooks.run_due(at(3600)) == 1

    assert told == [task.pk, task.pk]


def test_a_failing_hook_does_not_keep_others_from_theirs(alice: User) -> None:
    first, second = hooked(alice), hooked(alice)
    for task in (first, second):
        finish(task)
    failing.append(ValueError("not today"))

    assert finish_hooks.run_due(at(60)) == 1

    assert sorted(told) == sorted([first.pk, second.pk])


def test_a_retried_attempt_notes_no_hook(alice: User) -> None:
    task = hooked(alice)

    tasks.release_task(task.pk, claimed().epoch, now=at(1))

    assert not FinishHook.objects.exists()


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_every_end_has_its_hook(
    alice: User, status: TaskStatus, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    task = hooked(alice)

    with django_capture_on_commit_callbacks(execute=True):
        if status == TaskStatus.CANCELLED:
            cancel(task, now=at(1))
        else:
            _die(task)

    assert told == [task.pk] or FinishHook.objects.count() == 1


def _die(task: AIGenerationTask) -> None:
    lease = claimed()
    tasks.fail(task.pk, lease.epoch, BadRequest("No."), now=at(1))


def test_who_cancels_a_waiting_task_has_its_hook_run_at_once(
    alice: User, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    task = hooked(alice)

    with django_capture_on_commit_callbacks(execute=True):
        cancel(task, now=at(1))

    assert told == [task.pk]


@pytest.mark.django_db(transaction=True)
def test_the_worker_runs_the_hook_after_its_task(alice: User) -> None:
    task = hooked(alice, now=clock.now())

    assert run_admitted() == 1

    assert told == [task.pk]
    assert tasks.get(pk=task.pk).status == TaskStatus.COMPLETED
