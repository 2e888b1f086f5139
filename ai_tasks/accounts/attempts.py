"""The end of an attempt: its outcome and what it used, in one statement."""

from datetime import datetime

from ai_tasks.accounts import charges
from ai_tasks.accounts.managers import BUCKETS
from ai_tasks.accounts.models import Attempt, AttemptState
from providers.errors import ProviderError
from providers.types import Usage, storable
from queueing.statements import Param, Update

ERROR = ("error_class", "error_message", "blames")
WRITTEN = ("state", "finished_at", "first_token_at", *ERROR, "provider_request_id", "usage_source", *BUCKETS)

_end: Update[Attempt] = Update(
    lambda: Attempt.objects.filter(pk=Param("pk"), state=AttemptState.STARTED),
    **{name: Param(name) for name in WRITTEN},
)


def end(
    attempt: Attempt,
    state: AttemptState,
    usage: Usage,
    now: datetime,
    *,
    first_token_at: datetime | None = None,
    error: ProviderError | None = None,
    request_id: str = "",
) -> None:
    """End a started attempt; one that ended already stays as it is."""
    _end.run(
        {
            "pk": attempt.pk,
            "state": state,
            "finished_at": now,
            "first_token_at": first_token_at,
            "error_class": error.code if error else "",
            "error_message": storable(str(error))[:500] if error else "",
            "blames": error.blames.value if error else "",
            "provider_request_id": request_id,
            **charges.buckets(usage),
        }
    )
