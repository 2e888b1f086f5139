"""The official `openai` SDK's files and batches with nothing changed but its `base_url`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from config.programs import Standalone
from tests.ai_tasks.batches.conftest import CHAT, jsonl, line, many
from tests.flows.client import Api, eventually

ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture(scope="module")
def client(standalone: Standalone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{standalone.url}/v1", api_key=standalone.api_key, max_retries=0) as made:
        yield made


def begin(client: openai.OpenAI, data: str, endpoint: Any = CHAT) -> Any:
    file = client.files.create(file=("in.jsonl", data.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def ended(client: openai.OpenAI, batch: Any) -> Any:
    eventually(lambda: client.batches.retrieve(batch.id).status in ENDED, "the batch ended")
    return client.batches.retrieve(batch.id)


def counts(batch: Any) -> tuple[int, int, int]:
    told = batch.request_counts
    return told.total, told.completed, told.failed


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[Any]:
    assert file_id
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


def test_a_file_is_uploaded_listed_read_and_deleted(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(many(3))

    with path.open("rb") as opened:
        file = client.files.create(
            file=opened, purpose="batch", expires_after={"anchor": "created_at", "seconds": 7_200}
        )

    assert (file.filename, file.purpose, file.bytes) == ("requests.jsonl", "batch", path.stat().st_size)
    assert file.expires_at == file.created_at + 7_200
    assert client.files.retrieve(file.id) == client.files.wait_for_processing(file.id) == file
    assert client.files.content(file.id).read() == path.read_bytes()
    assert file.id in [each.id for each in client.files.list(limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/embeddings", "/v1/responses"])
def test_a_batch_answers_every_request(client: openai.OpenAI, endpoint: str) -> None:
    data = jsonl(*(line(f"r{number}", endpoint=endpoint) for number in range(60)), line("bad", endpoint=endpoint, n=2))

    made = begin(client, data, endpoint)
    batch = ended(client, made)

    assert (made.status, batch.status, batch.errors) == ("validating", "completed", None)
    assert counts(batch) == (61, 60, 1)
    assert made.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at < batch.expires_at
    found = lines_of(client, batch.output_file_id)
    assert [each["custom_id"] for each in found] == [f"r{number}" for number in range(60)]
    assert {each["response"]["status_code"] for each in found} == {200}
    (error,) = lines_of(client, batch.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("bad", 400)
    assert batch.usage.total_tokens == sum(each["response"]["body"]["usage"]["total_tokens"] for each in found)


def test_a_batch_is_charged_as_its_tasks_are(client: openai.OpenAI, standalone: Standalone) -> None:
    batch = ended(client, begin(client, many(2)))
    api = Api(standalone.url, standalone.api_key)

    tasks = [api.task(each["response"]["request_id"]) for each in lines_of(client, batch.output_file_id)]

    assert [(task["status"], task["priority"], len(task["attempts"])) for task in tasks] == [
        ("completed", "bulk", 1)
    ] * 2
    assert all(float(task["cost_usd"]) > 0 for task in tasks)


def test_a_wrong_file_fails_the_batch(client: openai.OpenAI) -> None:
    batch = ended(client, begin(client, many(2) + "nonsense\n"))

    assert batch.status == "failed"
    assert [(each.line, each.code) for each in batch.errors.data] == [(3, "invalid_json_line")]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_a_cancelled_batch_gives_what_was_done(client: openai.OpenAI) -> None:
    slow = {"latency_ms": 0, "tokens_per_second": 5, "output_tokens": 5_000}
    made = begin(client, many(3) + jsonl(*(line(f"slow{number}", simulate=slow) for number in range(60))))
    eventually(lambda: counts(client.batches.retrieve(made.id))[1] == 3, "three are done")

    assert client.batches.cancel(made.id).status == "cancelling"
    batch = ended(client, made)

    assert (batch.status, batch.cancelled_at >= batch.cancelling_at) == ("cancelled", True)
    assert [each["custom_id"] for each in lines_of(client, batch.output_file_id)] == ["r0", "r1", "r2"]
    errors = lines_of(client, batch.error_file_id)
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert len(errors) == 60
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(ended(client, begin(client, many(1))).id)


def test_batches_are_listed_over_pages(client: openai.OpenAI) -> None:
    made = [begin(client, many(1)).id for _ in range(3)]

    found = [each.id for each, _ in zip(client.batches.list(limit=1), range(3), strict=False)]

    assert found == list(reversed(made))


def test_a_large_form_is_read_from_disk(client: openai.OpenAI, standalone: Standalone) -> None:
    assert standalone.process
    process, size = Path("/proc", str(standalone.process.pid)), 60_000_000
    (process / "clear_refs").write_text("5")  # its peak begins anew
    before = peak_bytes(process)

    client.files.create(file=("large.jsonl", b"x" * size), purpose="batch")

    # Parsed in memory it takes ten times its size.
    assert peak_bytes(process) - before < 3 * size


def peak_bytes(process: Path) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_large_file_goes_both_ways_and_a_larger_one_is_refused(client: openai.OpenAI) -> None:
    data = b"x" * 999 + b"\n"

    file = client.files.create(file=("large.jsonl", data * 30_000), purpose="batch")

    assert file.bytes == 30_000_000
    assert client.files.content(file.id).read() == data * 30_000
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("larger.jsonl", data * 101_000), purpose="batch")
    assert refused.value.status_code == 413
