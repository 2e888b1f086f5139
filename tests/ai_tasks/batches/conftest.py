"""Files, batches and the worker of these tests."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.batches import content
from ai_tasks.batches.models import Batch, StoredFile
from ai_tasks.compat import batch_work
from tests.engine import NOW, at, run_admitted

QUICK = {"latency_ms": 0, "tokens_per_second": 0}
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _providers(providers_ready: None) -> None:
    """Every test here needs them."""


class Caller:
    """Somebody with an API key, at /v1."""

    def __init__(self, owner: User) -> None:
        self.owner = owner
        self.headers = {"Authorization": f"Bearer {keys.create(owner, 'test')[1]}"}
        self.client = Client()

    def upload(self, data: bytes | str, *, name: str = "in.jsonl", headers: Any = None, **form: Any) -> Any:
        """Send a file."""
        data = data.encode() if isinstance(data, str) else data
        body = {"purpose": "batch", "file": SimpleUploadedFile(name, data)} | form
        return self.client.post("/v1/files", body, headers=self.headers | (headers or {}))

    def get(self, path: str, **query: Any) -> Any:
        """Ask for something."""
        return self.client.get(f"/v1/{path}", query, headers=self.headers)

    def post(self, path: str, body: Any = None, *, headers: Any = None) -> Any:
        """Send JSON."""
        headers = self.headers | (headers or {})
        return self.client.post(f"/v1/{path}", body, content_type="application/json", headers=headers)

    def delete(self, path: str) -> Any:
        """Delete something."""
        return self.client.delete(f"/v1/{path}", headers=self.headers)

    def begin(self, data: bytes | str, endpoint: str = CHAT, **members: Any) -> Any:
        """Upload a file and make a batch of it; return its shape."""
        file = self.upload(data).json()
        asked = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"} | members
        made = self.post("batches", asked)
        assert made.status_code == 200, made.content
        return made.json()


@pytest.fixture
def caller(alice: User) -> Caller:
    """Return alice at /v1."""
    return Caller(alice)


def line(custom_id: str, *, endpoint: str = CHAT, **body: Any) -> dict[str, Any]:
    """Return a request."""
    asked: dict[str, Any] = {"model": "simulator/sim-1", "simulate": QUICK}
    if endpoint == CHAT:
        asked["messages"] = [{"role": "user", "content": "Name a river."}]
    else:
        asked["input"] = "Name a river."
    return {"custom_id": custom_id, "method": "POST", "url": endpoint, "body": asked | body}


def jsonl(*documents: Any) -> str:
    """Return the lines of a file."""
    return "".join(f"{json.dumps(document)}\n" for document in documents)


def many(count: int, **body: Any) -> str:
    """Return a file of so many requests."""
    return jsonl(*(line(f"r{number}", **body) for number in range(count)))


def stored(owner: User, data: bytes, *, now: datetime = NOW) -> StoredFile:
    """Return a whole file."""
    file = StoredFile.objects.create(owner=owner, purpose="batch", name="in.jsonl", created_at=now, is_whole=True)
    content.store(file, [data])
    return file


def batch_of(owner: User, data: str | bytes, endpoint: str = CHAT, *, now: datetime = NOW) -> Batch:
    """Return a batch that was just made."""
    file = stored(owner, data.encode() if isinstance(data, str) else data, now=now)
    times = {"created_at": now, "due_at": now, "expires_at": now + (at(86_400) - at(0))}
    return Batch.objects.create(owner=owner, endpoint=endpoint, input_file_id=file.pk, **times)


def carried_on(batch: Batch, seconds: float = 0) -> Batch:
    """Go on with the batch as far as it goes, so many seconds after NOW; return it fresh."""
    for _ in batch_work.carry_out(batch.pk, tell=lambda: at(seconds)):
        pass
    return Batch.objects.get(pk=batch.pk)


def begun(batch: Batch) -> None:
    """Go on with the batch until its tasks are there."""
    for _ in batch_work.carry_out(batch.pk):
        pass


def through(batch_id: str) -> Batch:
    """Work until the batch has ended, running what is admitted; return it. Needs django_db(transaction=True)."""
    batch = Batch.objects.get(pk=UUID(batch_id.removeprefix("batch_")))
    for _ in range(100):
        Batch.objects.filter(pk=batch.pk).update(collected_at=None, due_at=clock.now())
        begun(batch)
        batch.refresh_from_db()
        if batch.finished_at:
            return batch
        run_admitted()
    raise AssertionError(f"The batch is still {batch.status}.")


def errors_of(batch: Batch) -> list[tuple[Any, Any]]:
    """Return line and code of each of a failed batch's errors."""
    return [(each["line"], each["code"]) for each in batch.errors]


def lines_in(answer: Any) -> list[Any]:
    """Return the documents of a file that was sent."""
    return [json.loads(text) for text in sent(answer).decode().split("\n")[:-1]]


def sent(answer: Any) -> bytes:
    """Return the bytes of a file that was sent."""

    async def read() -> bytes:
        return b"".join([piece async for piece in answer])

    return async_to_sync(read)()
