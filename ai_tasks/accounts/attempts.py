"""The end of an attempt: its outcome and what it used, in one statement."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ai_tasks.accounts import charges
from ai_tasks.accounts.managers import BUCKETS
from ai_tasks.accounts.models import Attempt, AttemptState
from providers.errors import ProviderError
from providers.types import Usage, storable
from queueing.statements import UpdateEach

ERROR = ("error_class", "error_message", "blames")
WRITTEN = ("state", "finished_at", "first_token_at", *ERROR, "provider_request_id", "usage_source", *BUCKETS)

_end = UpdateEach(
    Attempt,
    where={"id": "attempt_id"},
    sets={name: name for name in WRITTEN},
    only={"state": AttemptState.STARTED},
)


def end(
    attempt: Attempt,
    state: AttemptState,
    usage: Usage,
    now: datetime,
    *,
    first_token_at: datetime | None = None,
    error: ProviderError | None = None,
) -> None:
    """End a started attempt; one that ended already stays as it is."""
    written = {
        "error_class": error.code if error else "",
        "error_message": storable(str(error))[:500] if error else "",
        "blames": error.blames.value if error else "",
    }
    _end.run([{**_ended(attempt, state, usage, now, first_token_at), **written}])


def succeed(ended: Iterable[tuple[Attempt, Usage, str, datetime | None]], now: datetime) -> None:
    """End several started attempts well, each with its usage, the provider's request id and its first token's time."""
    _end.run(
        [
            {**_ended(attempt, AttemptState.SUCCEEDED, usage, now, first_token_at), "provider_request_id": request_id}
            for attempt, usage, request_id, first_token_at in ended
        ]
    )


def _ended(
    attempt: Attempt, state: AttemptState, usage: Usage, now: datetime, first_token_at: datetime | None
) -> dict[str, Any]:
    return {
        "attempt_id": attempt.pk,
        "state": state,
        "finished_at": now,
        "first_token_at": first_token_at,
        **dict.fromkeys((*ERROR, "provider_request_id"), ""),
        **charges.buckets(usage),
    }
