"""
What this process has in the air: its calls, their streamed text, their leases.

One ticker thread a process. Every 50 ms it writes what was streamed since, in bulk, then tells the watchers: what a
client sees is already durable. In statements of their own it renews leases, looks for cancel requests and says that the
process is alive, so that one bad or locked row hurts only itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction

from ai_tasks import chunks, clock, crash_points, events, lease, process
from ai_tasks.chunks import Piece
from ai_tasks.models import AIGenerationTask, Chunk
from providers.types import Delta, DeltaKind, storable
from queueing.models import QueueEntry

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
CANCEL_CHECK_SECONDS = 0.25
PRESENCE_SECONDS = 5.0
REFUSED_REST_SECONDS = 1.0
CANCELLED, DRAINED, LOST = "cancelled", "drained", "lost"


@dataclass(slots=True)
class Call:
    """One running attempt of this process."""

    task: AIGenerationTask
    epoch: int
    next_seq: int
    future: "Future[Any] | None" = None
    stopped_as: str = ""
    """Why we stopped it ourselves: cancelled, drained or lost; empty: we did not."""
    first_token_at: float | None = None
    """Monotonic time of the first delta."""
    _streamed: list[str] = field(default_factory=list)
    _deltas: list[Delta] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    rests_until: float = 0.0
    """Monotonic time before which its deltas are not written: the database refused them just now."""
    flushing: threading.Lock = field(default_factory=threading.Lock)
    """Held while its deltas are being written: by the ticker, or for good by whoever settles it."""

    @property
    def key(self) -> tuple[UUID, int]:
        """Its lease."""
        return self.task.pk, self.epoch

    def add(self, delta: Delta) -> None:
        """Take a streamed piece; called from the event loop's thread."""
        with self._guard:
            if self.first_token_at is None:
                self.first_token_at = time.monotonic()
            self._streamed.append(delta.data)
            self._deltas.append(delta)

    @property
    def streamed(self) -> str:
        """Everything that it streamed so far."""
        with self._guard:
            return "".join(self._streamed)

    def take(self) -> list[Piece]:
        """Return what came since as numbered pieces, neighbours of one kind joined. Hold `flushing`."""
        with self._guard:
            deltas, self._deltas = self._deltas, []
        joined: list[tuple[DeltaKind, list[str]]] = []
        for delta in deltas:
            if joined and joined[-1][0] == delta.kind and delta.kind != DeltaKind.TOOL_CALL:
                joined[-1][1].append(delta.data)
            else:
                joined.append((delta.kind, [delta.data]))
        pieces = [
            Piece(self.next_seq + place, self.epoch, kind.value, storable("".join(data)))
            for place, (kind, data) in enumerate(joined)
        ]
        self.next_seq += len(pieces)
        return pieces

    def put_back(self, pieces: Iterable[Piece]) -> None:
        """Return what could not be written, to be taken again."""
        deltas = [Delta(DeltaKind(piece.kind), piece.data) for piece in pieces]
        with self._guard:
            self._deltas = deltas + self._deltas
        self.next_seq -= len(deltas)

    def begin(self, start: Callable[[], "Future[Any]"]) -> None:
        """Start the call at the provider, unless it was stopped before."""
        if not self.stopped_as:
            self.future = start()
        if self.stopped_as and self.future:
            self.future.cancel()

    def result(self) -> Any:
        """Wait for the end of the call; raises CancelledError when we stopped it, and what the provider raises."""
        if self.future is None:
            raise CancelledError
        return self.future.result()

    def stop(self, reason: str) -> None:
        """Stop the call at the provider; the thread that waits for it settles what it used."""
        self.stopped_as = self.stopped_as or reason
        if self.future is not None:
            self.future.cancel()


class Ticker:
    """The process's one thread that writes for all its calls, and one that watches over their leases."""

    def __init__(self) -> None:
        self._calls: dict[tuple[UUID, int], Call] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._due: dict[str, float] = {}
        self._renewed_at = time.monotonic()
        self.presence: Callable[[datetime], None] | None = None
        """Says that the process is alive; set where it takes work."""

    def start(self) -> None:
        """Start the thread, once."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._closing.clear()
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
                threading.Thread(target=self._watch, name="lease-watch", daemon=True).start()

    def close(self) -> None:
        """End the thread after one last flush."""
        self._closing.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def register(self, call: Call) -> None:
        """Keep the call's lease and write its stream until `unregister`."""
        with self._lock:
            if not self._calls:
                self._renewed_at = time.monotonic()
            self._calls[call.key] = call
        self.start()
        self._work.set()

    def unregister(self, call: Call) -> None:
        """Forget the call."""
        with self._lock:
            self._calls.pop(call.key, None)

    def calls(self) -> list[Call]:
        """Return the calls in the air."""
        with self._lock:
            return list(self._calls.values())

    def stop_all(self, reason: str) -> None:
        """Stop every call."""
        for call in self.calls():
            call.stop(reason)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._work.clear()  # before the look: a call that is registered in between must not wait
            calls = self.calls()
            self._safely(self._tick, calls)
            if calls:
                self._closing.wait(TICK_SECONDS)
            else:
                self._work.wait(PRESENCE_SECONDS / 2)
        self._safely(self._flush, self.calls())
        process.give_connection_back()

    def _safely(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The database refused a %s: %s", function.__name__.strip("_"), error)
            process.give_connection_back()
        except Exception:
            # The thread must not die: every lease of the process hangs on it.
            logger.exception("A %s failed.", function.__name__.strip("_"))

    def _tick(self, calls: list[Call]) -> None:
        if self._is_due("presence", PRESENCE_SECONDS) and self.presence:
            self._safely(self.presence, clock.now())
        if calls and self._is_due("renew", settings.AI_LEASE.total_seconds() / 6):
            self._safely(self._renew, calls)
        if calls and self._is_due("cancel", CANCEL_CHECK_SECONDS):
            self._safely(self._stop_cancelled, calls)
        self._flush(calls)
        process.give_connection_back()

    def _is_due(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + every_seconds
        return True

    def _renew(self, calls: list[Call]) -> None:
        asked_at = time.monotonic()
        keys = [call.key for call in calls]
        kept = lease.renew(keys, worker=process.boot_id(), lease=settings.AI_LEASE, now=clock.now())
        self._renewed_at = asked_at
        for call in calls:
            # A call that is being settled has given its lease up itself.
            if call.key not in kept and not call.flushing.locked():
                call.stop(LOST)

    def _watch(self) -> None:
        """
        Stop calls whose lease may have gone to somebody else while we could not renew (or were not running).

        Apart from the thread that renews, which may be waiting for a database that does not answer.
        """
        longest = settings.AI_LEASE.total_seconds() * 2 / 3
        while not self._closing.wait(min(longest / 20, 1.0)):
            for call in self.calls():
                if time.monotonic() - self._renewed_at > longest:
                    call.stop(LOST)

    def _stop_cancelled(self, calls: list[Call]) -> None:
        asked = QueueEntry.objects.running().filter(worker=process.boot_id(), cancel_requested_at__isnull=False)
        cancelled = set(asked.values_list("task_id", "epoch"))
        for call in calls:
            if call.key in cancelled:
                call.stop(CANCELLED)

    def _flush(self, calls: list[Call]) -> None:
        """Write everything streamed since the last tick in one transaction, or, where that fails, call by call."""
        taken: list[tuple[Call, list[Piece]]] = []
        try:
            for call in calls:
                if call.rests_until <= time.monotonic() and call.flushing.acquire(blocking=False):
                    taken.append((call, call.take()))
            wanted = [each for each in taken if each[1]]
            if wanted and not self._write(wanted):
                for each in wanted:
                    if not self._write([each]):
                        each[0].put_back(each[1])
                        each[0].rests_until = time.monotonic() + REFUSED_REST_SECONDS
        finally:
            for call, _ in taken:
                call.flushing.release()

    def _write(self, taken: list[tuple[Call, list[Piece]]]) -> bool:
        """Insert the pieces of the calls whose lease holds, then publish them; False when the database refused."""
        try:
            held = self._insert(taken)
        except Exception as error:
            # Also what is no error of the database's: the text of all calls is in these hands.
            if len(taken) == 1:
                logger.warning("Chunks of task %s were not written: %r", taken[0][0].task.pk, error)
                return self._is_stored(*taken[0])
            return False
        crash_points.reached("flushed")
        events.send_flush([(call.task.pk, pieces) for call, pieces in taken if call.key in held])
        for call, pieces in taken:
            if call.key not in held:
                call.put_back(pieces)
        return True

    @transaction.atomic
    def _insert(self, taken: list[tuple[Call, list[Piece]]]) -> set[tuple[UUID, int]]:
        ours = QueueEntry.objects.running().filter(task_id__in=[call.task.pk for call, _ in taken])
        locked = ours.select_for_update(skip_locked=True, no_key=True)
        held = set(locked.values_list("task_id", "epoch"))
        chunks.write_all([(call.task, pieces) for call, pieces in taken if call.key in held])
        crash_points.reached("flushing")
        return held

    def _is_stored(self, call: Call, pieces: list[Piece]) -> bool:
        """Did the commit reach the database although its answer did not reach us?"""
        try:
            return Chunk.objects.last_seq(call.task.pk) >= pieces[-1].seq
        except (DatabaseError, InterfaceError):
            return False


ticker = Ticker()
