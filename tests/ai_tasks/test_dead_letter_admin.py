"""An operator sends dead letters back from Django admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ai_tasks.models import AIGenerationTask
from providers.errors import ContentRefused
from queueing.models import DeadLetter
from tests.engine import claimed, fresh, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

LIST = "admin:queueing_deadletter_changelist"


@pytest.fixture
def dead(alice: User) -> AIGenerationTask:
    """A task of alice's that its provider refused."""
    task = text_task(alice)
    lease = claimed()
    AIGenerationTask.objects.fail(task.pk, lease.epoch, ContentRefused())
    return fresh(task)


def operator(client: Client, *permissions: str) -> Client:
    """Log a staff user in who has just these permissions on dead letters."""
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def retry(client: Client) -> Any:
    chosen = [str(letter.pk) for letter in DeadLetter.objects.all()]
    return client.post(reverse(LIST), {"action": "retry", "_selected_action": chosen}, follow=True)


def test_an_operator_makes_a_dead_task_pending_again(client: Client, dead: AIGenerationTask) -> None:
    answer = retry(operator(client, "view_deadletter", "change_deadletter"))

    assert "1 task will be tried again." in answer.content.decode()
    assert fresh(dead).status == "pending"
    assert DeadLetter.objects.get().resolution == "redriven"


def test_who_may_only_look_can_retry_nothing(client: Client, dead: AIGenerationTask) -> None:
    answer = retry(operator(client, "view_deadletter"))

    assert "Retry the selected tasks" not in answer.content.decode()
    assert fresh(dead).status == "failed"
    assert DeadLetter.objects.get().resolution == "open"


def test_a_stranger_is_sent_to_the_login(client: Client, dead: AIGenerationTask) -> None:
    answer = client.get(reverse(LIST))

    assert answer.status_code == 302
    assert "/admin/login/" in answer.headers["Location"]
    assert fresh(dead).status == "failed"
