"""Looks at the whole database again and again while faults go on: what must be true at any moment."""

import threading
import time

from django.db import DatabaseError, InterfaceError, connection, transaction

from config.chaos import invariants
from config.chaos.scene import Scene
from queueing.models import QueueEntry

EVERY_SECONDS = 1.0
SHARE = 0.1
"""Of the time that looking may take: looks at a hundred thousand tasks are dearer, and so further apart."""


class Watch:
    """A thread with a consistent view of the database every second, or as often as that is cheap."""

    def __init__(self, scene: Scene) -> None:
        self.looks = 0
        self.broken: dict[str, str] = {}
        """The first sight of each broken rule."""
        self._scene, self._over = scene, threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """End after the look that goes on."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        look_at = 0.0
        while not self._over.wait(EVERY_SECONDS):
            try:
                self._scene.look_at_workers()
                self._scene.load.is_full = QueueEntry.objects.count() > self._scene.load.work.enough
                if time.monotonic() >= look_at:
                    began = time.monotonic()
                    self._look()
                    look_at = time.monotonic() + (time.monotonic() - began) / SHARE
            except (DatabaseError, InterfaceError):
                # It is away: that is one of the faults.
                connection.close()
        connection.close()

    def _look(self) -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = invariants.checks()
        self.looks += 1
        for rule, rows in found:
            if rows:
                self.broken.setdefault(rule, ", ".join(map(str, rows)))
