"""Every page of the admin, with rows in it: it answers, it shows no secret, and what the walk writes is not edited."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.access.models import ApiKey
from ai_tasks.accounts.models import Budget
from ai_tasks.models import AIGenerationTask, FinishHook, WorkerProcess
from chat import conversation
from providers import control
from providers.errors import BadRequest
from queueing.models import FairShare, QueueEntry, Redrive, TaskQueue
from queueing.states import ParkedReason
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.graves import bury, redrive
from tests.engine import NOW, WORKER, answer, claimed, several, text_task

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
LABELS = [model._meta.label_lower for model in MODELS]
EDITED = {Budget, FairShare, TaskQueue}
"""What operators write of these apps; the rest is written by the walk, and only read here."""
WRITTEN = [model for model in MODELS if model._meta.app_label in ("ai_tasks", "queueing", "chat")]
WRITTEN = [model for model in WRITTEN if model not in EDITED]


@pytest.fixture
def world(alice: User, make_budget: MakeBudget) -> None:
    """Rows of every kind: a task that was answered, one that died, one that was sent back, some that wait, a chat."""
    now = clock.now()
    make_budget("10")
    task = text_task(alice)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer("<b>The Rhine</b>"))
    dead = text_task(alice)
    AIGenerationTask.objects.fail(dead.pk, claimed().epoch, BadRequest("<script>alert(1)</script>"), now=NOW)
    bury(alice)
    redrive({"error_class": "unavailable"})
    QueueEntry.objects.filter(task_id=several(alice, 2)[0].pk).park(reason=ParkedReason.BUDGET, key="1")
    FinishHook.objects.create(task=task, due_at=now, last_error="No.")
    WorkerProcess.objects.create(
        boot_id=WORKER, hostname="host", pid=1, threads=2, queues=["control"], started_at=now, last_seen_at=now
    )
    keys.create(alice, "laptop")
    control.trip("simulator", cause="unavailable", now=now)
    conversation.send_message(conversation.start_session(alice), content="Hello.")
    TaskResult.objects.create(task_id="1", status="SUCCESS", result="{}")
    Group.objects.create(name="operators")


@pytest.fixture
def root(client: Client) -> Client:
    """Return the client, logged in as somebody who may do everything."""
    client.force_login(User.objects.create_superuser("root"))
    return client


def page(model: type[Model], name: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("model", MODELS, ids=LABELS)
def test_every_list_and_every_detail_answers(root: Client, model: Any) -> None:
    listed = root.get(page(model, "changelist"))
    found = root.get(page(model, "changelist"), {"q": "x"} if admin.site._registry[model].search_fields else {})
    row = model._default_manager.first()
    shown = root.get(page(model, "change", row.pk)) if row else listed

    assert (listed.status_code, found.status_code, shown.status_code) == (200, 200, 200)
    assert "<script>alert(1)</script>" not in listed.content.decode() + shown.content.decode()


@pytest.mark.usefixtures("world")
def test_the_pages_had_rows(db: None) -> None:
    empty = {model for model in MODELS if not model._default_manager.exists()}

    # What money and statistics add later is shown by tests of their own.
    assert not {model._meta.app_label for model in empty} & {"queueing", "chat"}
    assert not {AIGenerationTask, ApiKey, Redrive, WorkerProcess, FinishHook} & empty


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("model", WRITTEN, ids=[model._meta.label_lower for model in WRITTEN])
def test_what_the_walk_writes_is_not_edited(root: Client, model: Any) -> None:
    if (row := model._default_manager.first()) is None:
        return
    before = model._default_manager.values().get(pk=row.pk)

    added = root.post(page(model, "add"), {})
    changed = root.post(page(model, "change", row.pk), {"state": "x", "status": "x", "title": "x"})
    deleted = root.post(page(model, "delete", row.pk), {"post": "yes"})
    in_bulk = root.post(
        page(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    )

    assert [each.status_code for each in (added, changed, deleted)] == [403, 403, 403]
    assert in_bulk.status_code in (302, 200)
    assert model._default_manager.values().get(pk=row.pk) == before


@pytest.mark.usefixtures("world")
def test_no_page_shows_a_digest_or_a_key(root: Client) -> None:
    key = ApiKey.objects.get()

    seen = root.get(page(ApiKey, "changelist")).content + root.get(page(ApiKey, "change", key.pk)).content

    assert key.prefix in seen.decode()
    assert key.digest not in seen.decode()


@pytest.mark.usefixtures("world")
def test_a_member_of_the_staff_without_permissions_sees_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("bob", is_staff=True))

    assert {client.get(page(model, "changelist")).status_code for model in MODELS} == {403}
