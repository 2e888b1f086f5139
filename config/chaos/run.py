"""One run: load and faults, quiet, verdict."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ai_tasks.accounts.models import Attempt, Hold, LedgerEntry
from ai_tasks.models import AIGenerationTask
from config.chaos import books, invariants, schedule
from config.chaos.books import Books
from config.chaos.client import NeverTrue, wait_for
from config.chaos.flatness import Sampler
from config.chaos.installation import CAPS
from config.chaos.load import LIMITED, open_gate
from config.chaos.scene import Scene, steadily
from config.chaos.schedule import SOAK, Size
from config.chaos.watching import Watch
from queueing.models import DeadLetter, QueueEntry

QUIET_SECONDS = 600.0
TELL_SECONDS = 15.0
RECLAIM_SECONDS = 75.0
EXPLAINED = ("not_retryable", "tries_used_up", "deadline", "crashed", "operator")
"""Reasons of dead letters that the work or a fault explains."""

Check = tuple[str, list[Any]]


@dataclass
class Verdict:
    """What a run showed."""

    scene: Scene
    watch: Watch
    books: Books
    checks: list[Check]
    """Every rule, with some that break it."""
    zombies_rejected: int
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)
    """Of memory, threads, files, connections and tables, in each fifth of the time."""

    @property
    def broken(self) -> list[str]:
        """A sentence for each promise that did not hold."""
        return [f"{rule}: {', '.join(map(str, rows))}" for rule, rows in self.checks if rows]


def run(scene: Scene, *, seed: int, seconds: float = 0) -> Verdict:
    """Let the schedule happen to the installation under load, once or for so long; then wait for quiet and judge."""
    began, watch, sampler = time.monotonic(), Watch(scene), Sampler(scene.crew)
    watch.start()
    sampler.start()
    scene.load.start()
    _befall(scene, seed, began, seconds)
    sampler.finish()
    scene.load.finish()
    loaded = time.monotonic()
    _wait_for_quiet(scene)
    quiet = time.monotonic()
    watch.finish()
    verdict = judge(scene, watch)
    verdict.peaks = sampler.peaks()
    if seconds:
        verdict.checks.append(("measure that goes on growing", sampler.growing()))
    verdict.seconds = {
        "under load": round(loaded - began, 1),
        "until quiet": round(quiet - loaded, 1),
        "judging": round(time.monotonic() - quiet, 1),
    }
    return verdict


def _befall(scene: Scene, seed: int, began: float, seconds: float) -> None:
    """Go through the schedule, and, in a soak, through the next seed's until the time is over."""
    for number in count():
        for name, episode in schedule.episodes(seed + number, SOAK if seconds else Size()):
            scene.told(f"{time.monotonic() - began:6.1f} s  {name}")
            _do(scene, name, episode)
            if seconds and time.monotonic() - began > seconds:
                return
        if time.monotonic() - began >= seconds:
            return


def _do(scene: Scene, name: str, episode: Callable[[Scene], None]) -> None:
    try:
        episode(scene)
    except NeverTrue as error:
        scene.broken.append(f"{name} did not end well: {error}")
    fallen = scene.crew.revive()
    if fallen:
        scene.broken.append(f"{name}: ended by themselves: {', '.join(fallen)}")


def _wait_for_quiet(scene: Scene) -> None:
    """Wait until nothing is left to do or to pay; what an absurd Retry-After shuts is opened, as an operator would."""

    tell_at = time.monotonic()

    def is_quiet() -> bool:
        nonlocal tell_at
        if time.monotonic() > tell_at:
            tell_at = time.monotonic() + TELL_SECONDS
            scene.told(f"          left: {steadily(_left)}")
        if steadily(lambda: QueueEntry.objects.waiting().of(LIMITED).exists()):
            open_gate(scene.client)
        return steadily(_is_quiet)

    try:
        wait_for(is_quiet, "nothing is left to do", QUIET_SECONDS)
    except NeverTrue as error:
        scene.broken.append(f"{error} {_left()}")


def _left() -> dict[str, int]:
    """Count what is not done, by where it stands, and what is not paid."""
    rows = QueueEntry.objects.values_list("provider", "state", "parked_reason", "is_quarantined")
    found = Counter(" ".join(map(str, filter(None, row))) for row in rows)
    return dict(found) | {"started": Attempt.objects.filter(started_at__isnull=False, ledger=None).count()}


def _is_quiet() -> bool:
    started = Attempt.objects.filter(started_at__isnull=False).count()
    charged = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CHARGE).count()
    is_idle = not AIGenerationTask.objects.active().exists() and not Hold.objects.filter(settled_at=None).exists()
    return is_idle and started == charged


def judge(scene: Scene, watch: Watch) -> Verdict:
    """Check every rule on the database at rest and on the provider's books."""
    scene.look_at_workers()
    harmed = scene.boots_of({each.pid for each in scene.crew.harms})
    ours = Books(books.calls_in(scene.simulator.lines()), harmed, scene.boots)
    checks: list[Check] = [(rule, [seen]) for rule, seen in watch.broken.items()]
    checks += [*invariants.checks(), *invariants.checks_at_rest(), *ours.checks(dict(CAPS))]
    checks += [
        *accepted(scene.load.acknowledged, scene.load.unanswered),
        ("dead letter without a reason", _unexplained_letters()),
    ]
    rejected = books.late_traces(scene.frozen)
    checks += [
        ("write of a zombie that was taken", _taken(scene)),
        ("zombies whose rejected writes were not seen", ["none"] if scene.frozen and not rejected else []),
        ("reclaimed too late", [each for each in reclaims(scene, ours) if each > RECLAIM_SECONDS]),
        ("seen by an episode", list(scene.broken)),
    ]
    return Verdict(scene, watch, ours, checks, rejected)


def accepted(acknowledged: Mapping[str, str], unanswered: Sequence[str] = ()) -> list[Check]:
    """Check that every acknowledged id, here by its key, is a task, that no key made two, and no task is nobody's."""
    stored = {str(pk) for pk in AIGenerationTask.objects.values_list("pk", flat=True)}
    told = set(acknowledged.values())
    return [
        ("acknowledged task that is lost", sorted(told - stored)[:5]),
        ("task that nobody was told of", sorted(stored - told)[:5]),
        ("submission without an answer", list(unanswered[:5])),
    ]


def _unexplained_letters() -> list[str]:
    letters = DeadLetter.objects.exclude(reason__in=EXPLAINED)
    return [f"{each.task_id}: {each.reason}" for each in letters[:5]]


def _taken(scene: Scene) -> list[str]:
    """A frozen worker's attempt is lost, and stays so."""
    return [
        f"{task_id}.{epoch}"
        for task_id, epoch in scene.frozen
        if Attempt.objects.of_lease(task_id, epoch).exclude(state="lost").exists()
    ][:5]


def reclaims(scene: Scene, ours: Books) -> list[float]:
    """Return, for each lost attempt, the seconds from its worker's harm until it was taken from it."""
    found = []
    for attempt in ours.lost():
        pid, lost_at = scene.boots.get(attempt.worker) if attempt.worker else None, attempt.finished_at
        before = [each.at for each in scene.crew.harms if lost_at and each.pid == pid and each.at < lost_at.timestamp()]
        if lost_at and before:
            found.append(round(lost_at.timestamp() - max(before), 2))
    return found
