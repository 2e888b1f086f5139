"""A batch of fifty thousand requests, a file of 90 MB: read, begun, killed, resumed and written in little memory."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import clock
from ai_tasks.batches import content
from ai_tasks.batches.models import Batch, BatchLine, StoredFile
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry, TaskQueue
from tests.ai_tasks.batches.conftest import line

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

REQUESTS = 50_000
FILLER = "x" * 1_500
MOST_MEGABYTES = 80
"""What the work may take beyond what a process has after its first piece."""


def pieces() -> Iterator[bytes]:
    """Yield the file, request by request."""
    for number in range(REQUESTS):
        yield json.dumps(line(f"request-{number}", user=FILLER)).encode() + b"\n"


@pytest.fixture
def batch(alice: User, providers_ready: None) -> Batch:
    """A new batch of that file."""
    now = clock.now()
    file = StoredFile.objects.create(owner=alice, purpose="batch", name="large.jsonl", created_at=now, is_whole=True)
    content.store(file, pieces())
    queue = TaskQueue.objects.queue("simulator", "default")
    TaskQueue.objects.filter(pk=queue.pk).update(user_mark=None, soft_mark=None)
    times = {"created_at": now, "due_at": now, "expires_at": now + timedelta(days=1)}
    return Batch.objects.create(owner=alice, endpoint="/v1/chat/completions", input_file_id=file.pk, **times)


def worker(batch: Batch) -> "subprocess.Popen[str]":
    """Return a process that goes on with the batch and tells how far it is."""
    Batch.objects.update(due_at=clock.now(), leased_until=clock.now() - timedelta(seconds=1), collected_at=None)
    command = [sys.executable, "-m", "tests.ai_tasks.batches.runner", connection.settings_dict["NAME"], str(batch.pk)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(process: "subprocess.Popen[str]") -> Iterator[tuple[str, int, int]]:
    """Yield status, begun requests and megabytes after each piece."""
    assert process.stdout
    for text in process.stdout:
        status, begun, megabytes = text.split()
        yield status, int(begun), int(megabytes)


def test_fifty_thousand_requests_need_little_memory_and_survive_a_kill(batch: Batch) -> None:
    began = time.perf_counter()
    with worker(batch) as first:
        for status, begun, _ in told(first):
            if status == "in_progress" and begun > REQUESTS // 3:
                first.send_signal(signal.SIGKILL)
                break
    with worker(batch) as second:
        seen = list(told(second))
    created = time.perf_counter() - began

    assert seen[-1][:2] == ("in_progress", REQUESTS)
    assert AIGenerationTask.objects.count() == QueueEntry.objects.count() == REQUESTS
    assert BatchLine.objects.filter(state="open").count() == REQUESTS
    grown = seen[-1][2] - seen[0][2]

    answer_all()
    began = time.perf_counter()
    with worker(batch) as third:
        written = list(told(third))
    batch.refresh_from_db()

    print(f"begun in {created:.0f} s (+{grown} MB), ended in {time.perf_counter() - began:.0f} s {written[-1]}")  # noqa: T201
    assert (batch.status, batch.completed, batch.failed) == ("completed", REQUESTS, 0)
    assert max(grown, written[-1][2] - written[0][2]) < MOST_MEGABYTES
    output = content.lines(batch.output_file_id, 0, longest=1_000_000)
    assert [json.loads(each.data)["custom_id"] for each in output] == [f"request-{n}" for n in range(REQUESTS)]


def answer_all() -> None:
    """End every task as if it had been answered."""
    output = {"text": "The Rhine. " * 50, "finish_reason": "stop", "truncated": False}
    usage = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"), 1)
    values = {"output": output, "usage": usage | {"total_tokens": 2}, "finished_at": clock.now()}
    AIGenerationTask.objects.update(status="completed", **values)
    QueueEntry.objects.all().delete()
