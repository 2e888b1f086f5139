"""docs/realtime.md names every frame and every close code."""

import re
from pathlib import Path

import pytest

from ai_tasks import sockets
from ai_tasks.consumers import TaskSocket
from ai_tasks.operations_socket import NOT_STAFF
from chat.consumers import NOT_FOUND, ChatSocket
from tests.realtime import DOCUMENT, TYPES

TEXT = (Path(__file__).parent.parent / "docs" / "realtime.md").read_text(encoding="utf-8")
CODES = (
    sockets.POLICY_VIOLATION,
    sockets.TOO_BIG,
    sockets.TRY_AGAIN_LATER,
    sockets.NOT_AUTHENTICATED,
    NOT_FOUND,
    NOT_STAFF,
)


@pytest.mark.parametrize("name", sorted(TYPES["tasks"] | TYPES["chat"] | TYPES["operations"]))
def test_every_frame_of_the_server_is_named(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}\b", TEXT)
    assert DOCUMENT["$defs"][name]["description"]


@pytest.mark.parametrize("name", sorted({*TaskSocket.frames, *ChatSocket.frames, "ping"}))
def test_every_frame_of_the_client_is_named(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}\b", TEXT)


@pytest.mark.parametrize("code", CODES)
def test_every_close_code_is_explained(code: int) -> None:
    assert re.search(rf"^\| {code} \| \w", TEXT, re.MULTILINE)
