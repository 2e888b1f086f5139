"""The body of POST /v1/responses and what it asks for, as the body of a chat completion."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from ai_tasks.compat.bodies import OURS, checked_by, mistake
from ai_tasks.errors import InvalidInput, Mistake

Json = dict[str, Any]

IGNORED = frozenset(
    ("user", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "stream_options")
)
HARMLESS: Json = {"parallel_tool_calls": True, "truncation": "disabled", "top_logprobs": 0, "include": []}
"""At this value they ask for nothing."""
TOOL = {
    "type": "object",
    "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
    "required": ["type", "name"],
}
CHOICE = {
    "if": {"type": "object"},
    "then": {"properties": {"type": {"const": "function"}}, "required": ["type", "name"]},
    "else": {"enum": ["auto", "none", "required"]},
}
FORMAT = {
    "type": "object",
    "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}},
    "required": ["type"],
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": {"properties": {"schema": {"type": "object"}}, "required": ["schema"]},
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "input": {"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "array", "minItems": 1}},
        "instructions": {"type": "string"},
        "previous_response_id": {"type": "string"},
        "tools": {"type": "array", "items": TOOL},
        "tool_choice": CHOICE,
        "text": {"type": "object", "properties": {"format": FORMAT}},
        "metadata": {"type": "object"},
        **{name: {"type": "boolean"} for name in ("store", "background", "stream")},
        **dict.fromkeys(("max_output_tokens", "temperature", "top_p", "simulate", *OURS), True),
    },
    "required": ["model", "input"],
}
_validator = Draft202012Validator(SCHEMA)


def checked(body: Any) -> Json:
    """Return the body without what asks for nothing; raises InvalidInput for what is wrong with it or not supported."""
    given = checked_by(_validator, body, IGNORED, HARMLESS)
    if given.get("background") and given.get("store") is False:
        raise InvalidInput("What runs in the background is stored.", errors=(Mistake("/store", "must be true"),))
    return given


def chat_of(given: Mapping[str, Any]) -> Json:
    """Return the body of a chat completion that asks for the same, of what comes after the response before."""
    system = [{"role": "system", "content": given["instructions"]}] if given.get("instructions") else []
    body: Json = {"model": given["model"], "messages": [*system, *turns(items(given))]}
    kept = ("temperature", "top_p", "simulate", "metadata", *OURS)
    body |= {name: given[name] for name in kept if name in given}
    if "max_output_tokens" in given:
        body["max_completion_tokens"] = given["max_output_tokens"]
    if tools := given.get("tools"):
        body["tools"] = [{"type": "function", "function": _without(tool, "type", "strict")} for tool in tools]
    if choice := given.get("tool_choice"):
        body["tool_choice"] = choice if isinstance(choice, str) else _called(choice)
    if wanted := given.get("text", {}).get("format"):
        body["response_format"] = {"type": wanted["type"], "json_schema": _without(wanted, "type")}
    return body


def _without(value: Mapping[str, Any], *names: str) -> Json:
    return {name: each for name, each in value.items() if name not in names}


def _called(choice: Mapping[str, Any]) -> Json:
    return {"type": "function", "function": {"name": choice["name"]}}


def items(given: Mapping[str, Any]) -> list[Json]:
    """Return the input as a list of items."""
    asked = given["input"]
    return [{"type": "message", "role": "user", "content": asked}] if isinstance(asked, str) else asked


def turns(given: Iterable[Any]) -> Iterator[Json]:
    """Yield the turns of a conversation; calls that stand together are one. Raises InvalidInput with their place."""
    calls: list[Json] = []
    for place, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        try:
            if kind == "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                calls.append({"id": item["call_id"], "type": "function", "function": function})
                continue
            turn = _turn(kind, item, f"/input/{place}")
        except KeyError as error:
            raise _wrong(f"/input/{place}", f"{error.args[0]} is missing") from error
        if calls:
            yield {"role": "assistant", "content": None, "tool_calls": calls}
            calls = []
        if turn:
            yield turn
    if calls:
        yield {"role": "assistant", "content": None, "tool_calls": calls}


def _turn(kind: str | None, item: Any, pointer: str) -> Json | None:
    if kind == "message":
        return {"role": item["role"], "content": _content(item["content"], pointer)}
    if kind == "function_call_output":
        said = item["output"]
        text = said if isinstance(said, str) else "\n".join(part["text"] for part in said)
        return {"role": "tool", "tool_call_id": item["call_id"], "content": text}
    if kind == "reasoning":
        return None  # what clients send back of an answer; it has no text of its own here
    raise _wrong(pointer, "neither a message, function_call, function_call_output nor reasoning")


def _content(content: Any, pointer: str) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(part, f"{pointer}/content/{place}") for place, part in enumerate(content)]


def _part(part: Any, pointer: str) -> Json:
    match part.get("type") if isinstance(part, dict) else None:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "refusal", "refusal": part["refusal"]}
        case "input_image":
            return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    raise _wrong(pointer, "neither input_text, input_image, output_text nor refusal")


def _wrong(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput("The request is not valid.", errors=(mistake(pointer, detail),))
