"""Log lines as JSON, each with the ids of what was being done; never payloads, prompts or secrets."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from ai_tasks import trail

EXTRAS = ("method", "route", "status", "provider", "model", "outcome", "duration_ms")
"""What a call of a logger may add by `extra`; anything else there stays out."""
MOST_CHARACTERS = 4_000


class JsonLines(logging.Formatter):
    """One line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of an exception its class and its places, not its words, which may quote what was sent."""
        now = trail.current()
        ids = {
            "request_id": now.request_id,
            "task_id": now.task_id,
            "attempt": now.attempt,
            "trace_id": now.trace_id,
        }
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MOST_CHARACTERS],
            **{name: value for name, value in ids.items() if value},
            **{name: getattr(record, name) for name in EXTRAS if hasattr(record, name)},
        }
        if record.exc_info and record.exc_info[0]:
            places = traceback.extract_tb(record.exc_info[2])
            told["error"] = record.exc_info[0].__qualname__
            told["stack"] = [f"{place.filename}:{place.lineno} {place.name}" for place in places]
        return json.dumps(told, default=str)
