"""JSON from strangers: bounded, strict, and with nothing in it that a database cannot store."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from ai_tasks.api.problems import Refused, malformed, refuse
from ai_tasks.errors import InvalidInput, Mistake

WITH_PICTURES = 20_000_000
MAX_DEPTH = 32
MAX_NUMBER = 2**63 - 1
MAX_MISTAKES = 20
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Malformed(ValueError):
    """The text is not JSON."""


class BoundedJSONParser(BaseParser):
    """Reads `application/json` up to DATA_UPLOAD_MAX_MEMORY_SIZE, and one byte more to know that it is over."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body; raises Refused with 413, 400 or 422, or InvalidInput."""
        return self.value_of(self.bounded(stream, settings.DATA_UPLOAD_MAX_MEMORY_SIZE))

    def bounded(self, stream: IO[bytes], bound: int) -> bytes:
        """Return the body; raises Refused when it is larger."""
        body = stream.read(bound + 1)
        if len(body) > bound:
            raise too_large(bound)
        return body

    def value_of(self, body: bytes) -> Any:
        """Return the parsed body."""
        try:
            return load(body)
        except Malformed as error:
            raise malformed(str(error)) from error


class PicturesJSONParser(BoundedJSONParser):
    """Reads up to twenty times as much where it is pictures: what is left without them is bound as ever."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body; raises as any other."""
        body = self.bounded(stream, WITH_PICTURES)
        value = self.value_of(body)
        bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if len(body) > bound and len(body) - _picture_bytes(value) > bound:
            raise too_large(bound)
        return value


def _picture_bytes(value: Any) -> int:
    """Return how many bytes of a body are pictures: base64 of an image part, or a data: URL of an image."""
    found, waiting = 0, [value]
    while waiting:
        container = waiting.pop()
        is_image = isinstance(container, dict) and container.get("type") == "image"
        for name, inner in _members(container):
            if isinstance(inner, dict | list):
                waiting.append(inner)
            elif isinstance(inner, str) and (inner.startswith("data:image/") or (is_image and name == "data")):
                found += len(inner)
    return found


def too_large(bound: int) -> Refused:
    """Return the refusal of a body over the bound."""
    return refuse("payload_too_large", f"The body is larger than {bound:,} bytes.")


def load(body: bytes | str) -> Any:
    """
    Return the value of a JSON text.

    Raises Malformed when it is none, InvalidInput with pointers when it is nested deeper than 32, or holds NUL, a lone
    surrogate, or a number beyond 64 bits. Of a name that stands twice in an object, the last counts.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise InvalidInput("The body is nested too deep.", errors=(Mistake("", "nested too deep"),)) from error
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}") from error
    _refuse_unstorable(value)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number.")


def _refuse_unstorable(value: Any) -> None:
    if mistakes := tuple(islice(_unstorable(value), MAX_MISTAKES)):
        raise InvalidInput("The body holds values that cannot be stored.", errors=mistakes)


def _unstorable(value: Any) -> Iterator[Mistake]:
    """Walk without recursion, so that depth costs nothing, and not below the bound."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, container = waiting.pop()
        if len(path) >= MAX_DEPTH:
            yield Mistake(_pointer(path), f"nested deeper than {MAX_DEPTH}")
            continue
        for name, inner in _members(container):
            if isinstance(inner, dict | list):
                waiting.append(((*path, name), inner))
            if detail := _mistake_of(name) or _mistake_of(inner):
                yield Mistake(_pointer((*path, name)), detail)


def _members(container: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(container, dict):
        return container.items()
    return enumerate(container) if isinstance(container, list) else ()


def _mistake_of(value: Any) -> str:
    if isinstance(value, str):
        return "holds NUL or a lone surrogate" if UNSTORABLE.search(value) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "the number is too large"
    return "the number is too large" if isinstance(value, int) and abs(value) > MAX_NUMBER else ""


def _pointer(path: tuple[str | int, ...]) -> str:
    names = (UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", str(name)[:100]) for name in path)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
