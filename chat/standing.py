"""How sessions stand: what all open sockets of a process look at from time to time, in one query for all of them."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from ai_tasks.delivery import in_thread
from chat.models import ChatSession

GATHER_SECONDS = 0.5
"""How long a look waits for others to share its query."""


class Standing(NamedTuple):
    """What a socket compares with what it has told."""

    newest: int
    """Number of the newest message; 0: there is none."""
    own: tuple[str, ...]
    """Title, state, model and system prompt."""


class _Looks:
    """Those of one event loop that wait for the next query."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[asyncio.Future[Standing | None]]] = {}
        self._job: asyncio.Task[None] | None = None

    async def look(self, session_id: UUID) -> Standing | None:
        """Wait for the next query and return its answer."""
        answer: asyncio.Future[Standing | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(session_id, []).append(answer)
        if self._job is None or self._job.done():
            self._job = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        waiting, self._waiting, self._job = self._waiting, {}, None
        try:
            found = await in_thread(standings, waiting)
        except Exception as error:
            for answer in (each for answers in waiting.values() for each in answers if not each.done()):
                answer.set_exception(error)
            return
        for session_id, answers in waiting.items():
            for answer in answers:
                if not answer.done():
                    answer.set_result(found.get(session_id))


_looks: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Looks]" = WeakKeyDictionary()


async def look(session_id: UUID) -> Standing | None:
    """Return how the session stands, or None when it is deleted; raises what the database raises."""
    return await _looks.setdefault(asyncio.get_running_loop(), _Looks()).look(session_id)


def standings(session_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    """Return how these sessions stand, the deleted ones left out; one query."""
    rows = ChatSession.objects.alive().filter(pk__in=list(session_ids))
    told = rows.values_list("pk", "next_number", "title", "state", "model", "system_prompt")
    return {pk: Standing(number - 1, tuple(own)) for pk, number, *own in told}
