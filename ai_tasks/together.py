"""
Threads of one process that ask the database for the same do it together: one transaction, one commit.

Whoever asks while nobody is at work goes at once. What is asked meanwhile is done in one go by the first of those who
waited: the busier a process is, the larger its batches.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

MOST = 32
"""Wishes in one transaction."""
SEVERAL = 3
LINGER_SECONDS = 0.03
"""
How long a batch waits at most, after one of SEVERAL, until it is larger; hope fades by halves.

A process that has so much to do at once is short of CPU, and a larger batch costs less of it.
"""

Wish = TypeVar("Wish")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Asked(Generic[Wish, Result]):
    wish: Wish
    turn: threading.Event = field(default_factory=threading.Event)
    """Set when it is done, or when it is to do what is waiting."""
    is_done: bool = False
    result: Result | None = None


class Together(Generic[Wish, Result]):
    """
    Does wishes: `all_of` what is wished now; what it leaves, with a false result, each thread does `alone`.

    Only `alone` may wait for what others have locked. An error of `all_of` is nobody's in particular: each then does
    its own alone.
    """

    def __init__(
        self, alone: Callable[[Wish], Result], all_of: Callable[[Sequence[Wish]], Sequence[Result | None]]
    ) -> None:
        self._alone, self._all_of = alone, all_of
        self._lock = threading.Lock()
        self._waiting: list[_Asked[Wish, Result]] = []
        self._is_busy = False
        self._hoped_for = 1
        self._are_many = threading.Event()
        """Are as many waiting as were hoped for?"""

    def do(self, wish: Wish) -> Result:
        """Do it, with what other threads wish at the same time; raises what it raises alone."""
        mine: _Asked[Wish, Result] = _Asked(wish)
        with self._lock:
            self._waiting.append(mine)
            if len(self._waiting) >= self._hoped_for:
                self._are_many.set()
            goes_first, self._is_busy = not self._is_busy, True
        if not goes_first:
            mine.turn.wait()
        if not mine.is_done:
            self._lead()
        return mine.result or self._alone(wish)

    def _lead(self) -> None:
        """Do what is waiting, as its first; then call the next."""
        self._are_many.wait(LINGER_SECONDS)
        with self._lock:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._hoped_for = max(self._hoped_for // 2, min(len(batch) + 1, MOST) if len(batch) >= SEVERAL else 1)
            if len(self._waiting) < self._hoped_for:
                self._are_many.clear()
        try:
            self._do_all(batch)
        finally:
            for each in batch:
                each.is_done = True
            with self._lock:
                self._is_busy = bool(self._waiting)
                following = self._waiting[:1]
            for each in (*following, *batch):
                each.turn.set()

    def _do_all(self, batch: list[_Asked[Wish, Result]]) -> None:
        try:
            results = self._all_of([each.wish for each in batch])
        except Exception as error:
            logger.warning("%s at once failed, each is done alone: %r", len(batch), error)
        else:
            for each, result in zip(batch, results, strict=True):
                each.result = result
