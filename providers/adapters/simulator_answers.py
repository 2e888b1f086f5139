"""What the simulator says: short Markdown that mentions the prompt, the same for the same seed."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import cycle
from math import sqrt
from typing import Any

from providers import tokens
from providers.types import Message

JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
MARKUP = re.compile(r"[*`<>\[\]#|\\~]")
TOPIC_BYTES = 60
DEEPEST = 12
"""Levels of a schema that a made-up value follows."""
PLAIN: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": True, "null": None, "array": []}

ENGLISH = {
    "nothing": "your request",
    "opening": (
        "You asked about “{topic}”. In short: **take it one step at a time.**",
        "On “{topic}”: it is **simpler than it looks.**",
        "“{topic}” comes down to **two things.**",
        "Here is a short answer to “{topic}”, **in two points.**",
    ),
    "first": (
        "Start small, and write down what you learn.",
        "Keep what is certain apart from what is guessed.",
        "Say what the result is for before you begin.",
    ),
    "second": (
        "Check the outcome before you go on.",
        "Leave room for a second look tomorrow.",
        "Ask again when the facts change.",
    ),
    "closing": "*Simulated: no model was asked.*",
}
IN_JAPANESE = {
    "nothing": "ご質問",
    "opening": (
        "「{topic}」ですね。**一歩ずつ**進めましょう。",
        "「{topic}」は**意外と単純**です。",
        "「{topic}」の要点は**二つ**あります。",
        "「{topic}」に**手短に**お答えします。",
    ),
    "first": ("まず小さく始めます。", "事実と推測を分けます。", "目的を先に決めます。"),
    "second": ("結果を確かめます。", "翌日に見直します。", "前提が変われば聞き直します。"),
    "closing": "*模擬応答です。*",
}
DIMENSIONS = 64
"""How long a made-up vector is."""
FILLER = (
    "relay",
    "runner",
    "sash",
    "road",
    "morning",
    "wind",
    "steady",
    "pace",
    "bridge",
    "river",
    "town",
    "hill",
    "breath",
)


def answer(messages: Sequence[Message], seed: int | None) -> str:
    """Return a ready-made answer to the last thing the user said, in Japanese when that was."""
    prompt = next((turn.text for turn in reversed(messages) if turn.role == "user"), "")
    words = IN_JAPANESE if JAPANESE.search(prompt) else ENGLISH
    digest = _digest(messages, seed)

    def chosen(part: str) -> str:
        return words[part][digest[len(part)] % len(words[part])]

    opening = chosen("opening").format(topic=_topic(prompt) or words["nothing"])
    return f"{opening}\n\n- {chosen('first')}\n- {chosen('second')}\n\n{words['closing']}"


def filler(output_tokens: int, messages: Sequence[Message], seed: int | None) -> str:
    """Return made-up words that are exactly so many tokens."""
    start = _digest(messages, seed)[0] % len(FILLER)
    size, words, made = output_tokens * tokens.BYTES // tokens.TOKENS, [], 0
    for word in cycle(FILLER[start:] + FILLER[:start]):
        if made > size:
            break
        words.append(word)
        made += len(word) + 1
    return " ".join(words)[:size]


def _digest(messages: Sequence[Message], seed: int | None) -> bytes:
    said = str(seed) if seed is not None else "\x1f".join(f"{turn.role}\x1e{turn.text}" for turn in messages)
    return sha256(said.encode("utf-8", "replace")).digest()


def _topic(prompt: str) -> str:
    words = " ".join(MARKUP.sub("", prompt[:500]).split())
    short = words.encode("utf-8", "replace")[:TOPIC_BYTES].decode("utf-8", "ignore")
    return short if short == words else f"{short.rstrip()}…"


def vector(text: str, size: int) -> tuple[float, ...]:
    """Return a vector of length one that only the text decides."""
    seed = text.encode("utf-8", "replace")
    made = b"".join(sha256(seed + place.to_bytes(4)).digest() for place in range(-(-size // 32)))
    points = [byte - 127.5 for byte in made[:size]]
    length = sqrt(sum(point * point for point in points))
    return tuple(point / length for point in points)


def value_of(schema: Mapping[str, Any]) -> str:
    """Return JSON of a simple schema: its required members with plain values. Constraints on those are not met."""
    return json.dumps(_value(schema, schema, DEEPEST), ensure_ascii=False)


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth == 0:
        return None
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return choices[0]
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return _value(choices[0], root, depth - 1)
    if isinstance(place := schema.get("$ref"), str):
        return _value(_found(place, root), root, depth - 1)
    members = schema.get("properties")
    if not isinstance(members, Mapping):
        return PLAIN.get(str(schema.get("type")), {})
    return {name: _value(members.get(name), root, depth - 1) for name in schema.get("required", members)}


def _found(place: str, root: Any) -> Any:
    for step in place.removeprefix("#/").split("/"):
        root = root.get(step) if isinstance(root, Mapping) else None
    return root
