"""The process's one asyncio loop, in a daemon thread of its own, on which all calls to providers wait."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from providers.adapters import http

THREAD_NAME = "provider-calls"

Result = TypeVar("Result")


class LoopThread:
    """A running loop; made by the first `submit`, ended by `stop`, never used again after."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def wind_up(self) -> None:
        """Cancel what runs, wait for it, and give connections and threads back."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await http.close_session()
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


_lock = threading.Lock()
_current: LoopThread | None = None


def submit(coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Run the coroutine on the process's loop; cancelling the future cancels it there."""
    global _current
    with _lock:
        # A forked child inherits the object, but not its thread.
        if _current is None or _current.pid != os.getpid():
            _current = LoopThread()
        return asyncio.run_coroutine_threadsafe(coroutine, _current.loop)


def stop(timeout_seconds: float) -> None:
    """Cancel all calls and end the loop, waiting so long for it; the next `submit` begins a new one."""
    global _current
    with _lock:
        running, _current = _current, None
    if running is None or running.pid != os.getpid():
        return
    with suppress(TimeoutError):
        asyncio.run_coroutine_threadsafe(running.wind_up(), running.loop).result(timeout_seconds)
    running.loop.call_soon_threadsafe(running.loop.stop)
    running.thread.join(timeout_seconds)


def _free_lock() -> None:
    """In a forked child, replace the lock: a thread that the child does not have may have held it."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)
