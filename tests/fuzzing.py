"""
What no input may do to what reads strangers' bytes: raise anything but its own refusals.

Hypothesis runs it in the suite (tests/test_fuzzed.py), with whole structures; `make fuzz` lets atheris, which is guided
by the code it reaches, look for more: `python -m tests.fuzzing TARGET [libFuzzer's options]`.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

if __name__ == "__main__":
    django.setup()

from ai_tasks import sockets
from ai_tasks.api import parsers
from ai_tasks.api.problems import Refused
from ai_tasks.errors import TaskError
from ai_tasks.sockets import FrameError, frame_of
from providers.adapters import anthropic, gemini, openai_responses, openai_wire, reading
from providers.adapters import sse as sse_decoder
from providers.adapters.anthropic import MessagesAnswer
from providers.adapters.gemini import GeminiAnswer
from providers.adapters.openai_responses import ResponsesAnswer
from providers.adapters.openai_wire import ChatAnswer
from providers.adapters.sse import SseDecoder
from providers.errors import ProviderError
from providers.types import CompletionRequest, Delta, Message

PAYLOADS = Path(__file__).parent / "providers" / "payloads"
REQUEST = CompletionRequest("model-1", (Message("user", "Good morning"),), 50)
ANSWERS = {
    "chat": (ChatAnswer, "openai"),
    "responses": (ResponsesAnswer, "openai_responses"),
    "anthropic": (MessagesAnswer, "anthropic"),
    "gemini": (GeminiAnswer, "gemini"),
}


INSTRUMENTED = (sockets, parsers, sse_decoder, reading, anthropic, gemini, openai_responses, openai_wire)


def answer(name: str, texts: list[str], *, is_whole: bool) -> None:
    """Read texts as one answer in that vendor's format, to its end."""
    found = ANSWERS[name][0](REQUEST, "sk-secret")
    try:
        for text in texts:
            for delta in found.read_whole(text) if is_whole else found.read(text):
                assert isinstance(delta, Delta), delta
        found.finish("id")
    except ProviderError:
        pass


def sse(data: bytes) -> None:
    """Read bytes as server-sent events, in two parts."""
    decoder = SseDecoder()
    try:
        middle = len(data) // 2
        decoder.feed(data[:middle])
        decoder.feed(data[middle:])
        decoder.flush()
    except ProviderError:
        pass


def body(data: bytes) -> None:
    """Read bytes as a request's body."""
    with suppress(parsers.Malformed, Refused, TaskError):
        json.dumps(parsers.load(data)).encode()


def frame(data: bytes) -> None:
    """Read bytes as a WebSocket's frame."""
    with suppress(FrameError, TaskError):
        frame_of(data.decode("utf-8", "replace"))


def _events(name: str) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        answer(name, text.split("\n"), is_whole=False)
        answer(name, [text], is_whole=True)

    return target


TARGETS: dict[str, Callable[[bytes], Any]] = {
    "sse": sse,
    "body": body,
    "frame": frame,
    **{name: _events(name) for name in ANSWERS},
}


def main() -> None:
    """Fuzz one target, beginning with what vendors are recorded to say."""
    import atheris  # type: ignore[import-untyped] # noqa: PLC0415 - only here: it is no part of the suite

    name = sys.argv.pop(1)
    for module in INSTRUMENTED:
        for member in vars(module).values():
            for function in vars(member).values() if isinstance(member, type) else (member,):
                if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
