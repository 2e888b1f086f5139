"""`manage.py forget_user`: nothing that a user said is left, and the bill is."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import CommandError, call_command
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.batches.models import Batch, StoredFile
from ai_tasks.models import AIGenerationTask, Chunk, LedgerEntry
from ai_tasks.webhooks.models import WebhookEndpoint
from chat import conversation
from config.chaos.invariants import violations
from providers.errors import BadRequest
from queueing.models import DeadLetter
from tests.engine import NOW, answer, at, claimed, fresh, text_task

pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.django_db]
SECRET = "Shinano-4711"
tasks = AIGenerationTask.objects


def live_through(owner: User) -> tuple[AIGenerationTask, str]:
    """Leave traces everywhere; return a task that waits, and the text of a key."""
    done = text_task(owner, prompt=SECRET, metadata={"of": SECRET}, related=("river", SECRET), serial_key=SECRET)
    tasks.filter(pk=done.pk).update(request_id=SECRET, callback_url="https://shinano-4711.example/")
    lease = claimed()
    tasks.complete(done.pk, lease.epoch, answer(SECRET), now=at(2))
    text_task(owner, prompt=SECRET)
    lease = claimed()
    tasks.fail(lease.task.pk, lease.epoch, BadRequest(f"{SECRET} is bad."), now=at(3))
    session = conversation.start_session(owner, title=SECRET, system_prompt=SECRET, now=NOW)
    conversation.send_message(session, SECRET, now=NOW)
    file = StoredFile.objects.create(
        owner=owner, purpose="batch", name=SECRET, size_bytes=12, created_at=NOW, expires_at=at(1_000_000)
    )
    file.blocks.create(offset=0, data=SECRET.encode())
    WebhookEndpoint.objects.create(owner=owner, url=f"https://{SECRET}.example/", created_at=NOW)
    return text_task(owner, prompt=SECRET), keys.create(owner, SECRET)[1]


def written() -> str:
    """Return the whole database as text."""
    rows = [row for model in apps.get_models() for row in model._base_manager.all()]
    return serializers.serialize("json", rows)


def run(username: str, *options: str) -> str:
    out = StringIO()
    call_command("forget_user", username, *options, stdout=out)
    return out.getvalue()


def test_nothing_of_theirs_is_left_and_the_bill_is(alice: User, bob: User) -> None:
    User.objects.filter(pk=alice.pk).update(email=f"{SECRET}@example.com", last_name=SECRET)
    waiting, key = live_through(alice)
    others = text_task(bob, prompt="Of bob's.")
    bill = list(LedgerEntry.objects.values())

    said = run("alice", "--yes")

    assert "tasks: 4" in said
    assert SECRET.lower() not in written().lower()
    assert "alice" not in written()
    assert list(LedgerEntry.objects.values()) == bill
    assert fresh(waiting).status == "cancelled"
    assert keys.authenticate(key, clock.now()) is None
    assert not Client().login(username=f"forgotten-{alice.pk}", password="correct horse")
    assert (fresh(others).input, fresh(others).status) == ({"prompt": "Of bob's."}, "pending")
    assert DeadLetter.objects.get().resolution == "discarded"
    assert not Chunk.objects.exists()
    assert violations() == []
    assert json.loads(run(f"forgotten-{alice.pk}", "--json")) == dict.fromkeys(
        ("tasks", "dead_letters", "files", "requests", "webhook_endpoints", "keys", "live", "chats"), 0
    )


def test_without_yes_it_only_counts(alice: User) -> None:
    live_through(alice)
    before = written()

    counts: dict[str, Any] = json.loads(run("alice", "--json"))

    assert (counts["tasks"], counts["live"], counts["chats"], counts["files"]) == (4, 2, 1, 1)
    assert written() == before


def test_what_runs_is_stopped_first_and_the_second_time_emptied(alice: User) -> None:
    text_task(alice, prompt=SECRET)
    lease = claimed()

    with pytest.raises(CommandError, match=f"1 still have to end.*forgotten-{alice.pk}"):
        run("alice", "--yes")

    running = fresh(lease.task)
    assert running.cancel_requested_at is not None
    assert running.input
    tasks.complete(lease.task.pk, lease.epoch, answer(SECRET), now=clock.now() + timedelta(seconds=1))
    run(f"forgotten-{alice.pk}", "--yes")
    assert SECRET not in written()


def test_a_batch_ends_before_its_files_go(alice: User) -> None:
    file = StoredFile.objects.create(
        owner=alice, purpose="batch", name="a", size_bytes=0, created_at=NOW, expires_at=at(1_000_000)
    )
    batch = Batch.objects.create(
        owner=alice, endpoint="/v1/embeddings", input_file_id=file.pk, created_at=NOW, due_at=NOW, expires_at=at(9_999)
    )

    with pytest.raises(CommandError, match="1 still have to end"):
        run("alice", "--yes")

    batch.refresh_from_db()
    assert batch.status == "cancelling"
    assert StoredFile.objects.filter(pk=file.pk).exists()


@pytest.mark.parametrize(("who", "words"), [("nobody", "no user 'nobody'"), ("root", "root is a superuser")])
def test_who_is_not_there_or_may_everything_is_not_forgotten(who: str, words: str) -> None:
    User.objects.create_superuser("root")

    with pytest.raises(CommandError, match=words):
        run(who, "--yes")

    assert User.objects.filter(username="root", is_active=True).exists()
