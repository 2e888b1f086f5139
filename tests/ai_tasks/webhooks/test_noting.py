"""A delivery is a row of the transaction in which the task ended: one per end and endpoint."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks import endpoints, submission
from ai_tasks.accounts import alarms, budgets
from ai_tasks.accounts.models import BudgetPeriod
from ai_tasks.models import AIGenerationTask, WebhookDelivery, WebhookEndpoint
from ai_tasks.sweeps import time_out
from ai_tasks.webhooks import events
from providers.errors import BadRequest
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, answer, at, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
URL = "https://example.com/hook"


def noted() -> list[tuple[str, str]]:
    rows = WebhookDelivery.objects.order_by("pk").select_related("endpoint")
    return [(each.event, each.callback_url or each.endpoint.url) for each in rows]


def complete(task: AIGenerationTask) -> None:
    assert tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))


def test_an_end_is_noted_for_each_endpoint_that_hears_of_it(alice: User, bob: User) -> None:
    endpoints.create(alice, NOW, url=URL)
    endpoints.create(alice, NOW, url=f"{URL}/failures", events=["task.failed"])
    endpoints.create(bob, NOW, url=f"{URL}/bob")

    complete(text_task(alice))

    assert noted() == [("task.completed", URL)]


def test_an_endpoint_that_is_off_hears_nothing(alice: User) -> None:
    endpoints.change(endpoints.create(alice, NOW, url=URL), is_enabled=False)

    complete(text_task(alice))

    assert noted() == []


def test_a_callback_url_is_told_without_any_endpoint(alice: User) -> None:
    complete(text_task(alice, callback_url=f"{URL}/mine"))
    complete(text_task(alice, callback_url=f"{URL}/other"))

    assert noted() == [("task.completed", f"{URL}/mine"), ("task.completed", f"{URL}/other")]
    assert WebhookEndpoint.objects.get().url == "", "one signer for all callbacks"


def test_nothing_is_noted_when_the_end_is_rolled_back(alice: User) -> None:
    endpoints.create(alice, NOW, url=URL)
    task = text_task(alice, callback_url=URL)

    with transaction.atomic():
        complete(task)
        transaction.set_rollback(True)

    assert noted() == []


def test_a_lost_lease_notes_nothing(alice: User) -> None:
    task = text_task(alice, callback_url=URL)
    epoch = claimed().epoch

    assert not tasks.complete(task.pk, epoch + 1, answer(), now=at(1))

    assert noted() == []


def test_every_end_has_its_event(alice: User) -> None:
    endpoints.create(alice, NOW, url=URL)
    failed = text_task(alice)
    tasks.fail(failed.pk, claimed().epoch, BadRequest("No."), now=at(1))
    submission.cancel(text_task(alice), now=at(1))
    text_task(alice, deadline_seconds=1)
    time_out(at(5))
    complete(text_task(alice, now=at(6)))

    assert [event for event, _ in noted()] == ["task.failed", "task.cancelled", "task.timed_out", "task.completed"]


def test_a_task_that_dies_twice_is_told_twice_each_as_it_was(alice: User) -> None:
    endpoints.create(alice, NOW, url=URL)
    task = text_task(alice, deadline_seconds=1)
    time_out(at(5))

    submission.retry(fresh(task), now=at(6))
    time_out(at(2 * 86_400))

    first, second = WebhookDelivery.objects.order_by("pk")
    assert (first.event, second.event) == ("task.timed_out", "task.timed_out")
    assert '"status":"timed_out"' in first.body, "written down before the task was tried again"
    assert second.body == ""


def test_the_same_end_noted_twice_is_one_delivery(alice: User) -> None:
    endpoints.create(alice, NOW, url=URL)
    task = text_task(alice)
    complete(task)

    events.task_ended(task, "completed", at(2))

    assert len(noted()) == 1


@pytest.mark.parametrize(("is_staff", "told"), [(True, 1), (False, 0)])
def test_a_budgets_alarm_is_told_to_the_staff(alice: User, make_budget: MakeBudget, is_staff: bool, told: int) -> None:
    alice.is_staff = True
    alice.save()
    endpoints.create(alice, NOW, url=URL, events=["budget.alarm"])
    User.objects.filter(pk=alice.pk).update(is_staff=is_staff)
    (period,) = budgets.current_periods([make_budget("1")], NOW)
    BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd="0.85")

    alarms.raise_due(at(1))
    alarms.raise_due(at(2))

    bodies = WebhookDelivery.objects.values_list("body", flat=True)
    assert len(bodies) == told
    assert all('"percent":80' in body for body in bodies)


def test_two_endpoints_of_one_user_are_told_each(alice: User, django_assert_max_num_queries: Any) -> None:
    for number in range(3):
        endpoints.create(alice, NOW, url=f"{URL}/{number}")
    task = text_task(alice)

    with django_assert_max_num_queries(2):
        events.task_ended(task, "completed", at(2))

    assert len(noted()) == 3
