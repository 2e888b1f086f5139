"""The installation's processes in the hands of the faults: killed, armed, frozen, drained; and who was harmed when."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from config.chaos.client import wait_for
from config.stack import Stack

DEATH_SECONDS = 25.0
"""How long an armed process may take to come by its point."""
DRAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Harm:
    """One process that a fault befell."""

    name: str
    pid: int
    how: str
    """`SIGKILL`, `at <point>` or `SIGSTOP`."""
    at: float
    """Wall time."""


class Crew:
    """Does to the stack's processes what a fault wants, and keeps account of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.harms: list[Harm] = []
        self.missed: Counter[str] = Counter()
        """Armed points that nobody came by in time."""
        self.drains: list[float] = []
        """Seconds that each graceful stop took."""

    def names(self, kind: str) -> list[str]:
        """Return the names of the processes of that kind: `web`, `worker` or `beat`."""
        return [name for name in self.stack.names if name.split("-")[0] == kind]

    def pid(self, name: str) -> int:
        """Return the id of its process."""
        return self.stack.processes[name].pid

    def kill(self, name: str) -> None:
        """End it as a power cut would."""
        process = self.stack.processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.harms.append(Harm(name, process.pid, "SIGKILL", time.time()))

    def start(self, name: str) -> None:
        """Start it anew, not armed."""
        self.stack.spawn(name)

    def arm(self, name: str, point: str, times: int) -> None:
        """Start it anew; it will end when it comes by the point for so many times."""
        self.stack.spawn(name, TASUKI_CRASH_AT=f"{point}:{times}")

    def await_deaths(self, armed: dict[str, str], nudge: Callable[[Container[str]], None]) -> None:
        """
        Wait until these processes ended at their points; those that do not come by are killed.

        `nudge` is called again and again with those that live yet.
        """
        waiting = dict(armed)
        give_up_at = time.monotonic() + DEATH_SECONDS
        while waiting and time.monotonic() < give_up_at:
            for name in [name for name in waiting if self.stack.processes[name].poll() is not None]:
                process = self.stack.processes.pop(name)
                self.harms.append(Harm(name, process.pid, f"at {waiting.pop(name)}", time.time()))
            nudge(waiting)
            time.sleep(0.1)
        for name, point in waiting.items():
            self.missed[point] += 1
            self.kill(name)

    def freeze(self, names: Iterable[str]) -> None:
        """Stop these as a suspended machine would: they know nothing of it."""
        for name in names:
            os.kill(self.pid(name), signal.SIGSTOP)
            self.harms.append(Harm(name, self.pid(name), "SIGSTOP", time.time()))

    def thaw(self, names: Iterable[str]) -> None:
        """Let them go on as if nothing had been."""
        for name in names:
            os.kill(self.pid(name), signal.SIGCONT)

    def drain(self, name: str) -> int:
        """Tell it to stop, wait for its end, and return its exit code."""
        process = self.stack.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        self.drains.append(wait_for(lambda: process.poll() is not None, f"{name} ends after SIGTERM", DRAIN_SECONDS))
        return int(process.returncode)

    def revive(self) -> list[str]:
        """Start whoever is not running; return those that ended by themselves, which nobody should."""
        fallen = [name for name, process in self.stack.processes.items() if process.poll() is not None]
        for name in fallen:
            self.stack.processes.pop(name)
        for name in self.stack.names:
            if name not in self.stack.processes:
                self.start(name)
        return fallen
