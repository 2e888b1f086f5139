"""Examples of the API's description: a task in each of its states, a problem of each code."""

from typing import Any

from ai_tasks.api.problems import KINDS, Kind, Problem

REQUEST_ID = "01a20a13-e18f-72d8-abf8-5e61922ada0a"
_NEW: dict[str, Any] = {
    "id": "01a20a13-e18f-72d8-abf8-5e61922ada07",
    "object": "task",
    "type": "text.generate",
    "status": "pending",
    "priority": "normal",
    "lane": "default",
    "prompt_version": 1,
    "requested_model": "default",
    "model": "gpt-4o-mini",
    "provider": "openai",
    "input": {"prompt": "Name three rivers of Japan."},
    "output": None,
    "error": None,
    "usage": None,
    "cost_usd": None,
    "max_cost_usd": None,
    "skipped": [],
    "attempts": [],
    "waiting": {
        "reason": "rate_limit",
        "until": "2026-11-23T09:00:12.000Z",
        "position": 3,
        "expected_start": "2026-11-23T09:00:14.000Z",
        "budget": None,
    },
    "related": {"type": "meeting", "id": "2026-11-23"},
    "metadata": {"team": "sales"},
    "callback_url": None,
    "run_at": None,
    "deadline_at": "2026-11-24T09:00:00.000Z",
    "cancel_requested_at": None,
    "created_at": "2026-11-23T09:00:00.000Z",
    "started_at": None,
    "finished_at": None,
    "purged_at": None,
}
_ATTEMPT = {
    "number": 1,
    "provider": "openai",
    "model": "gpt-4o-mini",
    "status": "started",
    "error": None,
    "started_at": "2026-11-23T09:00:14.020Z",
    "first_token_at": None,
    "finished_at": None,
    "cost_usd": None,
}
_RUNNING = _NEW | {
    "status": "processing",
    "waiting": None,
    "attempts": [_ATTEMPT],
    "started_at": "2026-11-23T09:00:14.020Z",
}
_END = {"finished_at": "2026-11-23T09:00:15.310Z"}
_ERROR = {"code": "server_error", "message": "The provider answered 500.", "retryable": True}
_LATE = {"code": "deadline", "message": "Its deadline passed before it was done.", "retryable": True}
_FAILED = _ATTEMPT | _END | {"status": "failed", "error": {"code": "server_error", "message": _ERROR["message"]}}
TASKS: dict[str, dict[str, Any]] = {
    "pending": _NEW,
    "processing": _RUNNING,
    "completed": _RUNNING
    | _END
    | {
        "status": "completed",
        "output": {"text": "The Shinano, the Tone and the Ishikari.", "finish_reason": "stop", "truncated": False},
        "usage": {
            "input_tokens": 13,
            "cached_input_tokens": 0,
            "output_tokens": 14,
            "reasoning_tokens": 0,
            "total_tokens": 27,
            "source": "provider",
        },
        "cost_usd": "0.00001035",
        "attempts": [
            _ATTEMPT
            | _END
            | {"status": "succeeded", "first_token_at": "2026-11-23T09:00:14.610Z", "cost_usd": "0.00001035"}
        ],
    },
    "failed": _RUNNING | _END | {"status": "failed", "error": _ERROR, "attempts": [_FAILED]},
    "timed_out": _RUNNING | _END | {"status": "timed_out", "error": _LATE, "attempts": [_FAILED]},
    "cancelled": _NEW | _END | {"status": "cancelled", "waiting": None},
}


def _components() -> dict[str, dict[str, Any]]:
    tasks = {f"task_{status}": {"summary": status, "value": task} for status, task in TASKS.items()}
    problems = {
        f"problem_{code}": {"summary": kind.title, "value": Problem(code, f"{kind.title}.").document(REQUEST_ID)}
        for code, kind in KINDS.items()
    }
    return tasks | problems


def _named(names: list[str]) -> dict[str, dict[str, str]]:
    return {name: {"$ref": f"#/components/examples/{name}"} for name in names}


def with_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Show beside each answer that is a task its states, and beside each refusal the codes of its status."""
    result["components"]["examples"] = _components()
    operations = [operation for each in result["paths"].values() for operation in each.values()]
    for status, answer in (pair for operation in operations for pair in operation["responses"].items()):
        for media_type, content in answer.get("content", {}).items():
            if media_type == "application/problem+json":
                content["examples"] = _named([f"problem_{code}" for code, kind in KINDS.items() if _fits(kind, status)])
            elif content.get("schema", {}).get("$ref", "").endswith("/TaskDocument"):
                content["examples"] = _named([f"task_{state}" for state in TASKS])
    return result


def _fits(kind: Kind, status: str) -> bool:
    return str(kind.status) == status
