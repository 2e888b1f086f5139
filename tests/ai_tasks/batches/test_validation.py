"""The file of a batch, read: what is a request, and what makes the batch fail."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.batches.models import BatchLine
from ai_tasks.compat import batch_validation
from ai_tasks.models import AIGenerationTask
from tests.ai_tasks.batches.conftest import CHAT, batch_of, carried_on, errors_of, jsonl, line, many

pytestmark = pytest.mark.django_db

GOOD = json.dumps(line("good"))


def verdict(owner: User, data: str | bytes, endpoint: str = CHAT) -> list[tuple[Any, Any]]:
    """Return the errors of a batch of this file; of a failed one nothing was begun."""
    batch = carried_on(batch_of(owner, data, endpoint))

    assert (batch.status == "failed") == bool(batch.errors)
    if batch.errors:
        assert batch.finished_at is not None
        assert not AIGenerationTask.objects.exists()
        assert not BatchLine.objects.exists()
    return errors_of(batch)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nonsense", "invalid_json_line"),
        ('["a"]', "invalid_json_line"),
        ('{"custom_id": "a"', "invalid_json_line"),
        ('{"custom_id": NaN}', "invalid_json_line"),
        ('{"custom_id": "a\\u0000b"}', "invalid_json_line"),
        ('{"custom_id": "\\ud800"}', "invalid_json_line"),
        ("[" * 100_000, "invalid_json_line"),
        ('{"body": ' + '{"a":' * 40 + "1" + "}" * 41, "invalid_json_line"),
        (b'{"custom_id": "\xff"}', "invalid_json_line"),
        ('{"custom_id": "a"}'.encode("utf-16-le"), "invalid_json_line"),
        ({"custom_id": None}, "missing_required_parameter"),
        ({"custom_id": ""}, "missing_required_parameter"),
        ({"custom_id": 7}, "missing_required_parameter"),
        ({"custom_id": "a" * 513}, "invalid_custom_id"),
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/embeddings"}, "mismatched_endpoint"),
        ({"url": None}, "mismatched_endpoint"),
        ({"body": None}, "missing_required_parameter"),
        ({"body": [1]}, "missing_required_parameter"),
    ],
)
def test_a_line_that_is_no_request_is_named(alice: User, text: Any, code: str) -> None:
    if isinstance(text, dict):
        text = json.dumps(line("bad") | text)
    bad = text if isinstance(text, bytes) else text.encode()

    assert verdict(alice, GOOD.encode() + b"\n" + bad + b"\n" + json.dumps(line("last")).encode()) == [(2, code)]


def test_every_wrong_line_is_named_up_to_a_hundred(alice: User) -> None:
    some = jsonl(line("a"), {}, line("b"), line("a"), {})

    assert verdict(alice, some) == [
        (2, "missing_required_parameter"),
        (4, "duplicate_custom_id"),
        (5, "missing_required_parameter"),
    ]
    assert verdict(alice, "{}\n" * 5_000) == [(number, "missing_required_parameter") for number in range(1, 101)]


def test_a_custom_id_may_come_back_in_no_later_piece(alice: User) -> None:
    after = batch_validation.LINES + 1

    assert verdict(alice, many(after) + jsonl(line("r0"))) == [(after + 1, "duplicate_custom_id")]


@pytest.mark.parametrize("data", ["", "\n\n \r\n", b"\xef\xbb\xbf"])
def test_a_file_without_requests_fails(alice: User, data: Any) -> None:
    assert verdict(alice, data) == [(None, "empty_file")]


def test_a_line_that_is_too_long_ends_the_reading(alice: User, settings: Any) -> None:
    settings.AI_BATCH_LINE_BYTES = 1_000

    assert verdict(alice, GOOD + "\n" + "x" * 1_001 + "\n{}\n") == [(2, "line_too_long")]
    assert verdict(alice, "x" * 1_000_000) == [(1, "line_too_long")]


def test_there_are_no_more_requests_than_allowed(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_validation, "MOST_REQUESTS", 10)

    assert verdict(alice, many(11)) == [(None, "too_many_requests")]
    assert verdict(alice, many(10)) == []


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n", "\r\n \r\n"])
@pytest.mark.parametrize("head", ["", "\ufeff", "\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n"])
def test_editors_may_leave_their_marks(alice: User, head: str, ends: str, tail: str) -> None:
    data = head + ends.join(json.dumps(line(name, user="名前")) for name in "ab") + tail

    batch = carried_on(batch_of(alice, data))

    assert (batch.status, batch.total) == ("in_progress", 2)
    assert AIGenerationTask.objects.filter(batch_line__batch=batch).count() == 2


def test_lines_longer_than_blocks_are_read_whole(alice: User) -> None:
    long = jsonl(*(line(f"r{number}", user="x" * 400_000) for number in range(3)))

    assert carried_on(batch_of(alice, long)).total == 3
