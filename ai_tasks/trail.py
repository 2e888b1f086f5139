"""Whose work a thread does now: the ids that log lines have, and the spans of a trace where a tracer exports them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from ai_tasks.ids import uuid7

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00: trace id, span id, flags."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")

Kind = Literal["server", "consumer", "client"]
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trail:
    """The ids of what is being done; empty: there are none."""

    request_id: str = ""
    task_id: str = ""
    attempt: int = 0
    """The epoch of its lease."""
    traceparent: str = ""
    """Of the span that is open, or of the caller's."""

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hexadecimal digits."""
        return self.traceparent[3:35]


class Span:
    """A span that nobody exports."""

    traceparent = ""

    def tell(self, attributes: Attributes) -> None:
        """Add attributes: numbers, names and ids, never what was asked or answered."""

    def rename(self, name: str) -> None:
        """Call it otherwise, now that more is known."""

    def end(self, error: str = "") -> None:
        """Close it; with the class of an error, where it failed."""


class Tracer(Protocol):
    """Whoever exports spans."""

    def start(self, name: str, kind: Kind, parent: str, attributes: Attributes) -> Span:
        """Open a span below that traceparent, or a new trace's first."""


_current: ContextVar[Trail] = ContextVar("trail", default=Trail())  # noqa: B039 (it is frozen)
_tracer: Tracer | None = None


def export_to(tracer: Tracer | None) -> None:
    """Give spans to this tracer from now on; None: to nobody."""
    global _tracer
    _tracer = tracer


def current() -> Trail:
    """Return the ids of what this thread, or asyncio task, does."""
    return _current.get()


def request_id_from(header: str | None) -> str:
    """Return the caller's request id if it is a decent one, else a new one."""
    return header if header and REQUEST_ID.fullmatch(header) else str(uuid7())


def kept() -> dict[str, str]:
    """Return what a task's row keeps of what asks for it."""
    return {"request_id": current().request_id, "traceparent": current().traceparent}


def decent(traceparent: str | None) -> str:
    """Return a caller's traceparent if it is one, else nothing."""
    return traceparent if traceparent and TRACEPARENT.fullmatch(traceparent) else ""


def enter(trail: Trail) -> None:
    """Do what follows in this context under these ids."""
    _current.set(trail)


@contextmanager
def following(trail: Trail) -> Iterator[None]:
    """Do something under these ids, then go on under those from before."""
    token = _current.set(trail)
    try:
        yield
    finally:
        _current.reset(token)


def open_span(name: str, kind: Kind, attributes: Attributes) -> Span:
    """Open a span that the caller ends; what follows in this context is below it."""
    if _tracer is None:
        return Span()
    opened = _tracer.start(name, kind, current().traceparent, attributes)
    enter(replace(current(), traceparent=opened.traceparent))
    return opened


@contextmanager
def span(name: str, kind: Kind, attributes: Attributes) -> Iterator[Span]:
    """Do something under a span; an exception marks it by its class and goes on."""
    with following(current()):
        opened = open_span(name, kind, attributes)
        error = ""
        try:
            yield opened
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            opened.end(error)
