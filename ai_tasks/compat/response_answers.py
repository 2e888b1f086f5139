"""Tasks as responses: the object, its output's items, and the events of its stream."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from ai_tasks.compat import errors
from ai_tasks.delivery import TaskEvent
from ai_tasks.states import ChunkKind

Json = dict[str, Any]

STATUSES = {"pending": "queued", "processing": "in_progress", "completed": "completed", "cancelled": "cancelled"}
"""Any other has failed."""
ECHOED: Json = {
    "instructions": None,
    "previous_response_id": None,
    "max_output_tokens": None,
    "temperature": None,
    "top_p": None,
    "metadata": {},
    "tool_choice": "auto",
    "tools": [],
    "text": {"format": {"type": "text"}},
    "background": False,
    "store": True,
}
"""What a response repeats of its request, and what it says where that did not."""


def response(task: Mapping[str, Any], asked: Mapping[str, Any]) -> Json:
    """Return a task as a response, as far as it is."""
    status = STATUSES.get(task["status"], "failed")
    output = task["output"] if status == "completed" else None
    is_cut = bool(output and output["truncated"])
    return _head(task, asked) | {
        "status": "incomplete" if is_cut else status,
        "error": _error(task) if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "model": f"{task['provider']}/{task['model']}",
        "output": list(items(task)) if output else [],
        "usage": _usage(task) if task["usage"] else None,
    }


def _head(task: Mapping[str, Any], asked: Mapping[str, Any]) -> Json:
    """Return what does not change in the life of a response."""
    return {
        "id": f"resp_{task['id']}",
        "object": "response",
        "created_at": int(datetime.fromisoformat(task["created_at"]).timestamp()),
        "parallel_tool_calls": True,
        "truncation": "disabled",
        **{name: asked.get(name, otherwise) for name, otherwise in ECHOED.items()},
    }


def _error(task: Mapping[str, Any]) -> Json:
    told = errors.of_task(task)[1]["error"]
    return {"code": told["code"], "message": told["message"]}


def _usage(task: Mapping[str, Any]) -> Json:
    used = task["usage"]
    return {
        "input_tokens": used["input_tokens"],
        "input_tokens_details": {"cached_tokens": used["cached_input_tokens"], "cache_write_tokens": 0},
        "output_tokens": used["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": used["reasoning_tokens"]},
        "total_tokens": used["total_tokens"],
    }


def items(task: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the items of a completed task's output: its text, then its calls."""
    output, calls = task["output"], task["output"].get("tool_calls", ())
    if output["text"] or not calls:
        is_refused = output["finish_reason"] == "refusal"
        yield _message(task["id"], "completed", [_part(output["text"], is_refusal=is_refused)])
    for index, call in enumerate(calls):
        yield _call_item(task["id"], index, "completed", call.get("id", ""), call["name"], call["arguments"])


def turn(output: Mapping[str, Any]) -> Json:
    """Return a completed task's output as a turn of the conversation that goes on from it, in a task's own words."""
    calls = output.get("tool_calls")
    return (
        {"role": "assistant"}
        | ({"content": output["text"]} if output["text"] else {})
        | ({"tool_calls": calls} if calls else {})
    )


def _message(task_id: str, status: str, content: list[Json]) -> Json:
    return {"type": "message", "id": f"msg_{task_id}", "status": status, "role": "assistant", "content": content}


def _part(text: str, *, is_refusal: bool) -> Json:
    if is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_item(task_id: str, index: int, status: str, call_id: str, name: str, arguments: str) -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{task_id}_{index}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


class Events:
    """
    Turns a task's events into those of a response's stream, numbered from 0.

    The numbers depend on what is stored alone, not on who listens and when: read again from the beginning, the stream
    is the same, so that it resumes after any number.
    """

    def __init__(self, task: Mapping[str, Any], asked: Mapping[str, Any], after: int = -1) -> None:
        self._task = task
        self._asked = asked
        self._after = after
        self._number = -1
        self._at = 0
        self._text: str | None = None
        self._is_refusal = False
        self._calls: list[Json] = []
        self._places = 0
        self.is_over = False

    def of(self, event: TaskEvent) -> Iterator[Json]:
        """Yield the events that one of the task's makes, after the number that was asked for."""
        for made in self._of(event) if self._number >= 0 else chain(self._begun(), self._of(event)):
            self._number += 1
            if self._number > self._after:
                yield made | {"sequence_number": self._number}

    def _of(self, event: TaskEvent) -> Iterator[Json]:
        if event.name == "task.updated":
            yield from self._state(event.data)
        elif event.name == "task.reset":
            if self._places:
                message = "The answer began anew: what was sent is void. Retrieve the response when it has ended."
                self.is_over = True
                yield {"type": "error", "code": "stream_cut", "message": message, "param": None}
        elif not self.is_over:
            yield from self._said(event.data)

    def _begun(self) -> Iterator[Json]:
        nothing: Json = {"error": None, "incomplete_details": None, "output": [], "usage": None}
        begun = _head(self._task, self._asked) | nothing | {"model": self._asked["model"]}
        yield {"type": "response.created", "response": begun | {"status": "queued"}}
        yield {"type": "response.in_progress", "response": begun | {"status": "in_progress"}}

    def _state(self, task: Mapping[str, Any]) -> Iterator[Json]:
        if task["finished_at"] and not self.is_over:
            if task["status"] == "completed":
                yield from self._ended()
            told = response(task, self._asked)
            kind = told["status"] if told["status"] in ("completed", "incomplete") else "failed"
            self.is_over = True
            yield {"type": f"response.{kind}", "response": told}

    def _said(self, data: Mapping[str, Any]) -> Iterator[Json]:
        kind = data.get("kind", ChunkKind.TEXT)
        if kind == ChunkKind.TOOL_CALL:
            yield from self._call(json.loads(data["data"]))
        elif kind in (ChunkKind.TEXT, ChunkKind.REFUSAL):
            yield from self._spoken(data["text"], is_refusal=kind == ChunkKind.REFUSAL)

    def _spoken(self, text: str, *, is_refusal: bool) -> Iterator[Json]:
        if self._text is None:
            self._text, self._is_refusal, self._at = "", is_refusal, self._places
            self._places += 1
            item = _message(self._task["id"], "in_progress", [])
            yield {"type": "response.output_item.added", "output_index": self._at, "item": item}
            yield self._of_part("response.content_part.added") | {"part": _part("", is_refusal=is_refusal)}
        self._text += text
        kind = "refusal" if is_refusal else "output_text"
        yield self._of_part(f"response.{kind}.delta") | {"delta": text} | ({} if is_refusal else {"logprobs": []})

    def _of_part(self, kind: str) -> Json:
        return {"type": kind, "item_id": f"msg_{self._task['id']}", "output_index": self._at, "content_index": 0}

    def _call(self, piece: Mapping[str, Any]) -> Iterator[Json]:
        index = piece["index"]
        while len(self._calls) <= index:
            call = {"at": self._places, "id": piece.get("id", ""), "name": piece.get("name", ""), "arguments": ""}
            self._calls.append(call)
            self._places += 1
            item = self._item(len(self._calls) - 1, "in_progress")
            yield {"type": "response.output_item.added", "output_index": call["at"], "item": item}
        call = self._calls[index]
        call["arguments"] += piece.get("arguments", "")
        if piece.get("arguments"):
            yield self._of_call("response.function_call_arguments.delta", index) | {"delta": piece["arguments"]}

    def _of_call(self, kind: str, index: int) -> Json:
        item_id = f"fc_{self._task['id']}_{index}"
        return {"type": kind, "item_id": item_id, "output_index": self._calls[index]["at"]}

    def _item(self, index: int, status: str) -> Json:
        call = self._calls[index]
        return _call_item(self._task["id"], index, status, call["id"], call["name"], call["arguments"])

    def _ended(self) -> Iterator[Json]:
        if self._text is not None:
            part, name = _part(self._text, is_refusal=self._is_refusal), "refusal" if self._is_refusal else "text"
            kind = "refusal" if self._is_refusal else "output_text"
            logs: Json = {} if self._is_refusal else {"logprobs": []}
            yield self._of_part(f"response.{kind}.done") | {name: self._text} | logs
            yield self._of_part("response.content_part.done") | {"part": part}
            item = _message(self._task["id"], "completed", [part])
            yield {"type": "response.output_item.done", "output_index": self._at, "item": item}
        for index, call in enumerate(self._calls):
            done = {"arguments": call["arguments"], "name": call["name"]}
            yield self._of_call("response.function_call_arguments.done", index) | done
            item = self._item(index, "completed")
            yield {"type": "response.output_item.done", "output_index": call["at"], "item": item}
