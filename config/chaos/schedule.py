"""What befalls an installation, and in which order: all of it follows from one number."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from ai_tasks.crash_points import POINTS
from config.chaos import faults
from config.chaos.faults import Episode

ON_THE_WEB = ("submitting", "submitted", "planned", "sent", "planning")
AT_LAST = ("sweeping", "swept", "batched")
"""Points that workers come by only where there is something to clear up."""
IN_WORKERS = tuple(point for point in POINTS if point not in (*AT_LAST, "submitting", "submitted"))


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done to it."""

    waves: int = 4
    """Of crashes: three workers and a web process each."""
    freezes: tuple[int, ...] = (2, 2, 1)
    """Workers that are frozen at once."""
    rounds: int = 1
    """How often each of the other faults comes."""
    outages: int = 1
    """How often the broker's and the database's faults come."""


SOAK = Size(waves=6, freezes=(2, 2, 2), outages=3)
"""One round of a soak, of which half an hour on two cores has some nine."""


def episodes(seed: int, size: Size) -> list[tuple[str, Episode]]:
    """Return the episodes in their order, each with its name."""
    chance = random.Random(f"{seed}/schedule")  # noqa: S311
    found: list[tuple[str, Episode]] = []
    waves = list(_waves(chance, size.waves))
    for first in range(0, len(waves), 2):
        found.append(("crash", partial(faults.crash, waves=waves[first : first + 2])))
    for count in size.freezes:
        found.append(("freeze", partial(faults.freeze, count=count)))
    for each in faults.OUTAGES * size.outages + faults.OTHERS * size.rounds:
        found.append((each.__name__, each))
    chance.shuffle(found)
    return found


def _waves(chance: random.Random, count: int) -> Iterator[dict[str, str]]:
    """Yield, by process, the points at which they end; those of sweeps come last, for they need what others left."""
    in_workers = cycle([*chance.sample(IN_WORKERS, len(IN_WORKERS)), *AT_LAST])
    on_the_web = cycle(chance.sample(ON_THE_WEB, len(ON_THE_WEB)))
    for number in range(count):
        workers = {f"worker-{place + 1}": next(in_workers) for place in range(3)}
        yield {**workers, ("web", "web-2")[number % 2]: next(on_the_web)}
