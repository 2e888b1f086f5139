"""Tasks as chat completions, whole and in chunks."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ai_tasks.compat import errors
from ai_tasks.delivery import TaskEvent
from ai_tasks.states import ChunkKind

Json = dict[str, Any]
REASONS = {"length": "length", "tool_calls": "tool_calls", "refusal": "content_filter"}
"""Any other reason is a stop."""


class Broken(Exception):
    """The answer began anew after parts of it were sent: what was sent cannot be taken back."""


def usage_of(task: Mapping[str, Any]) -> Json:
    """Return what a task used, in OpenAI's words."""
    used = task["usage"] or {}
    return {
        "prompt_tokens": used.get("input_tokens", 0),
        "completion_tokens": used.get("output_tokens", 0),
        "total_tokens": used.get("total_tokens", 0),
        "prompt_tokens_details": {"cached_tokens": used.get("cached_input_tokens", 0)},
        "completion_tokens_details": {"reasoning_tokens": used.get("reasoning_tokens", 0)},
    }


def completion(task: Mapping[str, Any]) -> Json:
    """Return a completed task as a `chat.completion`."""
    output = task["output"]
    is_refused = output["finish_reason"] == "refusal"
    message: Json = {
        "role": "assistant",
        "content": None if is_refused else output["text"],
        "refusal": output["text"] if is_refused else None,
    }
    if calls := output.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in calls]
        message["content"] = output["text"] or None
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason_of(task)}
    return _frame(task, "chat.completion") | {"choices": [choice], "usage": usage_of(task)}


def reason_of(task: Mapping[str, Any]) -> str:
    """Return why the answer ended."""
    return REASONS.get(task["output"]["finish_reason"], "stop")


def _frame(task: Mapping[str, Any], kind: str) -> Json:
    return {
        "id": f"chatcmpl-{task['id']}",
        "object": kind,
        "created": int(datetime.fromisoformat(task["created_at"]).timestamp()),
        "model": f"{task['provider']}/{task['model']}",
        "system_fingerprint": None,
    }


def _call(call: Mapping[str, Any]) -> Json:
    function = {name: call[name] for name in ("name", "arguments", "signature") if name in call}
    return {"id": call.get("id", ""), "type": "function", "function": function}


class Chunks:
    """Turns a task's events into `chat.completion.chunk`s."""

    def __init__(self, task: Mapping[str, Any], *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._frame = _frame(task, "chat.completion.chunk")
        self._has_begun = False
        self.is_told = False
        """Was anything of the answer sent?"""

    def of(self, event: TaskEvent) -> Iterator[Json]:
        """Yield the chunks of one event; raises Broken."""
        if not self._has_begun:
            self._has_begun = True
            yield self._chunk({"role": "assistant", "content": ""})
        if event.name == "task.updated":
            yield from self._of_state(event.data)
        elif event.name == "task.reset":
            if self.is_told:
                raise Broken
        elif delta := _delta(event.data):
            self.is_told = True
            yield self._chunk(delta)

    def _of_state(self, task: Mapping[str, Any]) -> Iterator[Json]:
        self._frame = _frame(task, "chat.completion.chunk")
        if task["status"] == "completed":
            yield self._chunk({}, reason_of(task))
            if self._include_usage:
                yield self._frame | {"choices": [], "usage": usage_of(task)}
        elif task["finished_at"]:
            yield errors.of_task(task)[1]

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._frame | {"choices": [choice]}
        return chunk | {"usage": None} if self._include_usage else chunk


def _delta(said: Mapping[str, Any]) -> Json:
    """Return what a delta adds; reasoning under the name that other compatible servers gave it."""
    match said.get("kind", ChunkKind.TEXT):
        case ChunkKind.TEXT:
            return {"content": said["text"]}
        case ChunkKind.REFUSAL:
            return {"refusal": said["text"]}
        case ChunkKind.REASONING:
            return {"reasoning_content": said["data"]}
        case _:
            return {"tool_calls": [_call_delta(json.loads(said["data"]))]}


def _call_delta(piece: Mapping[str, Any]) -> Json:
    function = {name: piece[name] for name in ("name", "arguments", "signature") if name in piece}
    head = {"id": piece["id"], "type": "function"} if "id" in piece else {}
    return {"index": piece["index"], **head, "function": function}
