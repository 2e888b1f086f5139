"""What a client sees of a task whose payload was purged."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import retention
from ai_tasks.models import AIGenerationTask
from providers.errors import BadRequest
from queueing.models import DeadLetter
from tests.engine import NOW, answer, at, claimed, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def test_it_answers_with_its_status_and_bill_and_says_since_when(
    client: Client, headers: dict[str, str], alice: User
) -> None:
    task = text_task(alice, prompt="secret")
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer("secret"), now=at(2))
    path = f"/api/v1/tasks/{task.pk}"
    before = client.get(path, headers=headers).json()

    retention.prune(NOW + timedelta(days=91))

    response = client.get(path, headers=headers)
    after = response.json()
    assert response.status_code == 200
    assert "secret" not in response.content.decode()
    assert after["purged_at"].startswith("2027-02-22T06:00:00")
    gone = {"input", "output", "metadata", "purged_at"}
    assert {name: after[name] for name in after if name not in gone} == {n: before[n] for n in before if n not in gone}
    assert [task["id"] for task in client.get("/api/v1/tasks", headers=headers).json()["data"]] == [str(task.pk)]


def test_it_cannot_be_tried_again(client: Client, headers: dict[str, str], alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.fail(task.pk, claimed().epoch, BadRequest("No."), now=at(1))
    DeadLetter.objects.update(resolution="discarded", resolved_at=at(5))
    retention.prune(NOW + timedelta(days=91))

    answered = client.post(f"/api/v1/tasks/{task.pk}/retry", headers=headers)

    assert answered.status_code == 409
    assert "not kept" in answered.json()["detail"]
