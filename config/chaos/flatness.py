"""Do memory, threads, open files, connections and hot tables stay flat? Sampled while a soak goes on."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.db import DatabaseError, InterfaceError, connection

from config.chaos.crew import Crew

EVERY_SECONDS = 2.0
PARTS = 5
"""A run is looked at in fifths: what it peaked at in its second is what it may peak at in its last."""
GROWTH = 1.10
SLACK = {"fds": 12, "threads": 8, "rss_mb": 16, "connections": 16, "kb": 512}
"""Beside the ten per cent, by unit: a call more or less in the air is no leak."""
HOT_TABLES = ("queueing_queueentry", "queueing_fairshare", "ai_tasks_workerprocess", "ai_tasks_budgetperiod")
"""Tables that stay small however many tasks there were: their rows go, or are updated."""


class Sampler:
    """A thread that looks at all processes every two seconds."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._over = crew, threading.Event()
        self._samples: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="flatness", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()

    def finish(self) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            at = time.monotonic() - self._began
            for name, value in [*self._processes(), *self._database()]:
                self._samples[name].append((at, value))
        connection.close()

    def _processes(self) -> Iterator[tuple[str, float]]:
        for name, process in list(self._crew.stack.processes.items()):
            kind, place = name.split("-")[0], Path(f"/proc/{process.pid}")
            # It may end at any moment.
            with suppress(OSError, KeyError, ValueError):
                status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
                yield f"{kind} rss_mb", int(status["VmRSS"].split()[0]) / 1024
                yield f"{kind} threads", int(status["Threads"])
                yield f"{kind} fds", len(list((place / "fd").iterdir()))

    def _database(self) -> list[tuple[str, float]]:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
                found = [("database connections", float(cursor.fetchone()[0]))]
                for table in HOT_TABLES:
                    cursor.execute("SELECT pg_total_relation_size(%s) / 1024", [table])
                    found.append((f"{table} kb", float(cursor.fetchone()[0])))
        except (DatabaseError, InterfaceError):
            connection.close()
            return []
        return found

    def peaks(self) -> dict[str, list[float]]:
        """Return what each measure peaked at in each fifth of the run."""
        length = max((rows[-1][0] for rows in self._samples.values()), default=0.0) + 1e-9
        return {
            name: [
                round(max((value for at, value in rows if int(at / length * PARTS) == part), default=0.0), 1)
                for part in range(PARTS)
            ]
            for name, rows in sorted(self._samples.items())
        }

    def growing(self) -> list[str]:
        """Return the measures that peaked in the last fifth above what they peaked at in the second."""
        return [f"{name}: {peaks}" for name, peaks in self.peaks().items() if is_growing(name.split()[-1], peaks)]


def is_growing(unit: str, peaks: list[float]) -> bool:
    """Is the last peak higher than the second, by more than ten per cent and the unit's slack?"""
    return peaks[-1] > max(peaks[1] * GROWTH, peaks[1] + SLACK[unit])
