"""The body of POST /v1/chat/completions and what it asks for, as the input of a text task."""

from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from ai_tasks.compat.bodies import OURS, checked_by
from ai_tasks.errors import InvalidInput, Mistake

Json = dict[str, Any]

IGNORED = frozenset(
    ("user", "seed", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
)
"""Hints to OpenAI's own service: an answer without them is still the answer asked for."""
HARMLESS: Json = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "parallel_tool_calls": True,
    "logit_bias": {},
    "modalities": ["text"],
}
"""What many clients send always: at this value it asks for nothing."""

TEXT_PART = {
    "properties": {"type": {"enum": ["text", "refusal"]}, "text": {"type": "string"}, "refusal": {"type": "string"}},
    "anyOf": [{"required": ["text"]}, {"required": ["refusal"]}],
}
IMAGE_PART = {
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    },
    "required": ["image_url"],
}
PART = {
    "type": "object",
    "required": ["type"],
    "if": {"properties": {"type": {"const": "image_url"}}},
    "then": IMAGE_PART,
    "else": TEXT_PART,
}
CALL = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
            "required": ["name", "arguments"],
        },
    },
    "required": ["id", "function"],
}
MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {
            "if": {"type": "array"},
            "then": {"type": "array", "items": PART},
            "else": {"type": ["string", "null"]},
        },
        "tool_calls": {"type": ["array", "null"], "items": CALL},
        "tool_call_id": {"type": "string"},
    },
    "required": ["role"],
}
TOOL = {
    "type": "object",
    "properties": {
        "type": {"const": "function"},
        "function": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
    "required": ["type", "function"],
}
CHOICE = {
    "if": {"type": "object"},
    "then": {
        "type": "object",
        "properties": {"type": {"const": "function"}, "function": {"type": "object", "required": ["name"]}},
        "required": ["type", "function"],
    },
    "else": {"enum": ["auto", "none", "required"]},
}
FORMAT = {
    "type": "object",
    "properties": {
        "type": {"enum": ["text", "json_object", "json_schema"]},
        "json_schema": {"type": "object", "properties": {"schema": {"type": "object"}}, "required": ["schema"]},
    },
    "required": ["type"],
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": {"required": ["json_schema"]},
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "messages": {"type": "array", "items": MESSAGE, "minItems": 1},
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "tools": {"type": "array", "items": TOOL},
        "tool_choice": CHOICE,
        "response_format": FORMAT,
        "stop": {"if": {"type": "array"}, "then": {"type": "array"}, "else": {"type": "string"}},
        **dict.fromkeys(("max_tokens", "max_completion_tokens", "temperature", "top_p", "metadata", "simulate"), True),
        **dict.fromkeys(OURS, True),
    },
    "required": ["model", "messages"],
}
_validator = Draft202012Validator(SCHEMA)


def checked(body: Any) -> Json:
    """Return the body without what asks for nothing; raises InvalidInput for what is wrong with it or not supported."""
    return checked_by(_validator, body, IGNORED, HARMLESS)


def wish_of(given: Mapping[str, Any]) -> Json:
    """Return the task that a checked body asks for, as the body of POST /api/v1/tasks."""
    task: Json = {"type": "text.generate", "input": _input(given), "model": given["model"]}
    task |= {name: given[name] for name in (*OURS, "metadata") if name in given}
    return task


def _input(given: Mapping[str, Any]) -> Json:
    wanted: Json = {"messages": [_turn(message, place) for place, message in enumerate(given["messages"])]}
    if (cap := given.get("max_completion_tokens", given.get("max_tokens"))) is not None:
        wanted["max_output_tokens"] = cap
    if "stop" in given:
        wanted["stop"] = [given["stop"]] if isinstance(given["stop"], str) else given["stop"]
    if given.get("tools"):
        wanted["tools"] = [_tool(tool["function"]) for tool in given["tools"]]
    if "tool_choice" in given:
        choice = given["tool_choice"]
        wanted["tool_choice"] = choice if isinstance(choice, str) else choice["function"]["name"]
    if found := _answer_format(given.get("response_format", {})):
        wanted["answer_format"] = found
    return wanted | {name: given[name] for name in ("temperature", "top_p", "simulate") if name in given}


def _tool(function: Mapping[str, Any]) -> Json:
    return {name: function[name] for name in ("name", "description", "parameters") if function.get(name) is not None}


def _answer_format(wanted: Mapping[str, Any]) -> Json | None:
    if wanted.get("type") == "json_object":
        return {"schema": {"type": "object"}}
    if wanted.get("type") != "json_schema":
        return None
    asked = wanted["json_schema"]
    return {name: asked[name] for name in ("schema", "name", "strict") if asked.get(name) is not None}


def _turn(message: Mapping[str, Any], place: int) -> Json:
    role = "system" if message["role"] == "developer" else message["role"]
    turn: Json = {"role": role}
    if message.get("content"):
        turn["content"] = _content(message["content"], place)
    if message.get("tool_calls"):
        turn["tool_calls"] = [{"id": call["id"], **_called(call["function"])} for call in message["tool_calls"]]
    if role == "tool":
        turn |= {"tool_call_id": message.get("tool_call_id", ""), "content": turn.get("content", "(empty)")}
    return turn


def _called(function: Mapping[str, Any]) -> Json:
    return {name: function[name] for name in ("name", "arguments", "signature") if name in function}


def _content(content: str | list[Json], place: int) -> str | list[Json]:
    if isinstance(content, str):
        return content
    parts = list(_parts(content, place))
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return parts if len(texts) < len(parts) else "\n".join(texts)


def _parts(content: list[Json], place: int) -> Iterable[Json]:
    for number, part in enumerate(content):
        if part["type"] == "image_url":
            yield {"type": "image"} | _image(
                part["image_url"]["url"], f"/messages/{place}/content/{number}/image_url/url"
            )
        elif text := part.get("text") or part.get("refusal"):
            yield {"type": "text", "text": text}


def _image(url: str, pointer: str) -> Json:
    if not url.startswith("data:"):
        return {"url": url}
    media_type, mark, data = url.removeprefix("data:").partition(";base64,")
    if not mark:
        raise InvalidInput("The picture cannot be read.", errors=(Mistake(pointer, "not a base64 data URL"),))
    return {"media_type": media_type, "data": data}
