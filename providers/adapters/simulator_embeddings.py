"""The simulator's side of the formats for embeddings."""

import base64
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from providers.adapters import reading
from providers.adapters import simulator_wire as wire
from providers.adapters.simulator_gemini import GeminiWire
from providers.adapters.simulator_openai import ChatWire
from providers.errors import BadRequest
from providers.types import EmbeddingRequest, Embeddings

MOST_DIMENSIONS = 4096


class Format(ABC):
    """One format."""

    wire: ClassVar[type[wire.Wire]]
    """Whose refusals it has."""

    @classmethod
    @abstractmethod
    def request_from(cls, body: Mapping[str, Any], model: str) -> EmbeddingRequest:
        """Return the request that a body stands for; raises BadRequest. `model` is the path's."""

    @classmethod
    @abstractmethod
    def answer(cls, body: Mapping[str, Any], found: Embeddings) -> dict[str, Any]:
        """Return the answer to that body."""


class OpenAI(Format):
    """Floats, or, as its SDK wishes, base64 of float32."""

    wire = ChatWire

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str) -> EmbeddingRequest:
        """Return the request that a body stands for."""
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise BadRequest("input must be a text or a list of texts, none of them empty.")
        size, options = _size(body, "dimensions"), {"simulate": body.get("simulate")}
        return EmbeddingRequest(wire.required(body, "model", str), tuple(texts), size, options=options)

    @classmethod
    def answer(cls, body: Mapping[str, Any], found: Embeddings) -> dict[str, Any]:
        """Return a list of vectors."""
        shown = _packed if body.get("encoding_format") == "base64" else list
        rows = [
            {"object": "embedding", "index": index, "embedding": shown(vector)}
            for index, vector in enumerate(found.vectors)
        ]
        usage = {"prompt_tokens": found.usage.total, "total_tokens": found.usage.total}
        return {"object": "list", "data": rows, "model": body["model"], "usage": usage}


class Gemini(Format):
    """A batch of contents."""

    wire = GeminiWire

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str) -> EmbeddingRequest:
        """Return the request that a body stands for."""
        if not (asked := wire.dicts(body, "requests")):
            raise BadRequest("requests must not be empty.")
        parts = [wire.dicts(reading.member(each, "content"), "parts") for each in asked]
        texts = tuple("".join(reading.text(part, "text") for part in each) for each in parts)
        size, options = _size(asked[0], "outputDimensionality"), {"simulate": body.get("simulate")}
        return EmbeddingRequest(model, texts, size, options=options)

    @classmethod
    def answer(cls, body: Mapping[str, Any], found: Embeddings) -> dict[str, Any]:
        """Return a list of vectors; this format does not tell usage."""
        return {"embeddings": [{"values": list(vector)} for vector in found.vectors]}


def _size(body: Mapping[str, Any], name: str) -> int | None:
    if body.get(name) is None:
        return None
    if (size := wire.cap(body[name], name)) > MOST_DIMENSIONS:
        raise BadRequest(f"{name} must be at most {MOST_DIMENSIONS}.")
    return size


def _packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
