"""What every fault has at hand: the installation, its database, the load, chance, and an account of what was done."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from ai_tasks.errors import DATABASE_AWAY
from ai_tasks.models import WorkerProcess
from config.chaos.client import Client
from config.chaos.crew import Crew
from config.chaos.load import Load
from config.programs import Simulator
from config.stack import Stack

Found = TypeVar("Found")
DATABASE_AWAY_SECONDS = 60.0


def steadily(ask: Callable[[], Found]) -> Found:
    """Ask the database, again and again while a fault has it away."""
    give_up_at = time.monotonic() + DATABASE_AWAY_SECONDS
    while True:
        try:
            return ask()
        except DATABASE_AWAY:
            if time.monotonic() > give_up_at:
                raise
            connection.close()
            time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the installation took to be itself again."""

    after: str
    seconds: float
    bound_seconds: float


@dataclass
class Scene:
    """One run."""

    stack: Stack
    simulator: Simulator
    client: Client
    load: Load
    crew: Crew
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    """How often each kind was done."""
    broken: list[str] = field(default_factory=list)
    """What an episode itself saw that must not be."""
    recoveries: list[Recovery] = field(default_factory=list)
    frozen: list[tuple[UUID, int]] = field(default_factory=list)
    """Leases (task, epoch) that ran in frozen processes and were taken from them."""
    boots: dict[UUID, int] = field(default_factory=dict)
    """Process ids by boot id, of every worker that was ever seen."""
    told: Callable[[str], Any] = print

    def did(self, fault: str, times: int = 1) -> None:
        """Count a fault."""
        self.faults[fault] += times

    def recovered(self, after: str, seconds: float, bound_seconds: float) -> None:
        """Note how long it took, and break a promise where that was too long."""
        self.recoveries.append(Recovery(after, round(seconds, 2), bound_seconds))
        if seconds > bound_seconds:
            self.broken.append(f"recovered too late: {seconds:.1f} s after {after}, not within {bound_seconds:.0f} s")

    def look_at_workers(self) -> None:
        """Remember which process each worker is: a drained one strikes itself off."""
        for boot_id, pid in WorkerProcess.objects.values_list("boot_id", "pid"):
            self.boots[boot_id] = pid

    def boots_of(self, pids: set[int]) -> list[UUID]:
        """Return the boot ids of these processes."""
        return [boot_id for boot_id, pid in self.boots.items() if pid in pids]
