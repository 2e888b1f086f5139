"""The WebSocket `/ws/operations/`, for the staff."""

import asyncio
import logging
from contextlib import aclosing
from typing import ClassVar

from django.db import DatabaseError

from ai_tasks import events
from ai_tasks.delivery import feed, in_thread
from ai_tasks.ops.news import News
from ai_tasks.sockets import JsonSocket

logger = logging.getLogger(__name__)

NOT_STAFF = 4403


class OperationsSocket(JsonSocket):
    """
    Tells what operators watch: everything at first, then what changed.

    Sends `alert.raised{alert}`, `alert.cleared{alert}`, `queue.updated{queue}`, `circuit.updated{circuit}`,
    `budget.updated{budget}`, and `ready` once all has been told that was so at the beginning. Closed with 4403: not
    staff, or without the permission to look at queues, also later. It is listened to for `ping` alone.
    """

    scope_wanted = "operations"
    look_seconds: ClassVar[float] = 3.0
    """How often to look for changes that no hint told of."""
    rest_seconds: ClassVar[float] = 0.5
    """How long it rests between two looks, however many hints come."""

    async def opened(self) -> None:
        """Begin to tell."""
        self.begin("news", self._tell_news())

    async def _tell_news(self) -> None:
        news, due = News(self.caller.user.pk), asyncio.Event()
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(self._hear(due))
            await self._look(news)
            await self.say("ready")
            while True:
                due.clear()
                try:
                    async with asyncio.timeout(self.look_seconds):
                        await due.wait()
                except TimeoutError:
                    pass
                await self._look(news)
                await asyncio.sleep(self.rest_seconds)

    async def _hear(self, due: asyncio.Event) -> None:
        async with aclosing(feed(events.OPERATIONS)) as told:  # type: ignore[type-var]
            async for _event in told:
                due.set()

    async def _look(self, news: News) -> None:
        try:
            found = await in_thread(news.look)
        except DatabaseError as error:
            logger.warning("The operators' news could not be read: %r", error)
            return
        if found is None:
            await self.close(NOT_STAFF)
            return
        for kind, members in found:
            await self.say(kind, **members)
