"""The episodes: each does some faults of one kind, and waits until the installation is itself again."""

import signal
import time
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg

from ai_tasks.accounts.models import Attempt
from ai_tasks.admission import Dispatch
from ai_tasks.dispatch import send
from ai_tasks.models import AIGenerationTask
from config.chaos.books import late_traces
from config.chaos.client import NeverTrue, wait_for
from config.chaos.load import LONG, PROVIDER, QUICK, REFUSED, body_of
from config.chaos.scene import Scene, steadily
from queueing.models import DeadLetter, QueueEntry
from queueing.states import LIVE_AT_PROVIDER

BACK_SECONDS = 60.0
"""Within which the first task must end after the broker's or the database's return."""
RECLAIM_SECONDS = 75.0
"""A lease, two sweeps, and what starting workers take on a busy machine."""
RARE = {"sweeping": 1, "swept": 1, "batched": 1, "planned": 3, "planning": 2, "submitting": 3, "submitted": 3}
"""After how many times of coming by the process ends, where it comes by seldom; elsewhere after some more."""
HEARD_SECONDS = 12.0
STORM = 12

Episode = Callable[[Scene], None]


def _finished() -> int:
    return steadily(lambda: Attempt.objects.filter(state="succeeded").count())


def _running_in(scene: Scene, names: list[str]) -> list[Any]:
    steadily(scene.look_at_workers)
    boots = scene.boots_of({scene.crew.pid(name) for name in names})
    return steadily(lambda: list(QueueEntry.objects.running().filter(worker__in=boots)))


def _goes_on(scene: Scene, after: str) -> None:
    """Wait until something ends again, and note how long that took."""
    before = _finished()
    scene.recovered(after, wait_for(lambda: _finished() > before, f"tasks end after {after}"), BACK_SECONDS)


def crash(scene: Scene, waves: list[dict[str, str]]) -> None:
    """Kill processes; start them armed, wait until each ended at its point, and so on; at last start them sound."""
    nudged: list[Nudge] = []
    for points in waves:
        for name, point in points.items():
            if name in scene.stack.processes:
                scene.crew.kill(name)
            scene.crew.arm(name, point, RARE.get(point) or scene.chance.randint(2, 8))
        if "batched" in points.values():
            _redrive(scene)
        webs = [name for name in points if name in scene.stack.urls]
        nudge = Nudge(scene, webs)
        scene.crew.await_deaths(points, nudge)
        nudged.append(nudge)
    scene.crew.revive()
    for nudge in nudged:
        nudge.finish()


class Nudge:
    """Sends requests to armed web processes, which may have nothing to do else; what they cut short is sent again."""

    def __init__(self, scene: Scene, webs: list[str]) -> None:
        self._scene, self._webs = scene, webs
        self._sent: dict[str, Any] = {}
        self._names = list(scene.stack.urls)

    def __call__(self, waiting: Container[str]) -> None:
        """Send one to each that lives yet."""
        for web in [each for each in self._webs if each in waiting]:
            key, body = f"nudge-{self._scene.chance.random()}", body_of(QUICK, self._scene.chance)
            self._sent[key] = body
            with suppress(OSError, ValueError):
                self._scene.client.once("POST", "/tasks", body, place=self._names.index(web), key=key)

    def finish(self) -> None:
        """Send all of them again, under their keys, until each is acknowledged."""
        for key, body in self._sent.items():
            self._scene.load.note(key, self._scene.client.submit(body, key))


def freeze(scene: Scene, count: int) -> None:
    """
    Suspend workers for longer than their leases, so that their work is given to others; then let them go on.

    They do not know that they lost it: whatever they write must be refused, and what they used be paid.
    """
    names = scene.chance.sample(scene.crew.names("worker"), count)
    chance, key = scene.chance, f"freeze-{len(scene.frozen)}-{scene.chance.random()}"
    for number in range(12):
        scene.load.note(f"{key}-{number}", scene.client.submit(body_of(LONG, chance), f"{key}-{number}"))
    wait_for(lambda: all(_running_in(scene, [name]) for name in names), f"{names} have work", 60)
    scene.crew.freeze(names)
    scene.did("SIGSTOP past the lease", count)
    frozen_at = time.monotonic()
    held = {(entry.task_id, entry.epoch) for entry in _running_in(scene, names)}

    def left() -> set[Any]:
        return held & set(QueueEntry.objects.running().values_list("task_id", "epoch"))

    taken: set[tuple[UUID, int]] = set()
    try:
        wait_for(lambda: not steadily(left), "what frozen workers held is taken from them", RECLAIM_SECONDS)
        # The others had sent their COMMIT already when they were stopped.
        taken = held & set(steadily(_lost_leases))
    finally:
        scene.crew.thaw(names)
    scene.recovered("workers were frozen", time.monotonic() - frozen_at, RECLAIM_SECONDS)
    scene.frozen += sorted(taken)
    _hear_them_out(taken)


def _lost_leases() -> list[tuple[UUID, int]]:
    return list(Attempt.objects.filter(state="lost").values_list("task_id", "epoch"))


def _hear_them_out(held: set[tuple[UUID, int]]) -> None:
    """Wait for a while until they have said what they believe that they did; `judge` counts what was refused."""
    with suppress(NeverTrue):
        wait_for(lambda: steadily(lambda: late_traces(held)) == len(held), "late writes", HEARD_SECONDS)


def kill_all_workers(scene: Scene) -> None:
    """End every worker at once: a cold start."""
    for name in scene.crew.names("worker"):
        scene.crew.kill(name)
    scene.did("all workers at once")
    scene.crew.revive()
    _goes_on(scene, "all workers were killed")


def kill_beats(scene: Scene) -> None:
    """End both beats, and start them again."""
    for name in scene.crew.names("beat"):
        scene.crew.kill(name)
    scene.crew.revive()


def drain(scene: Scene) -> None:
    """Stop a worker as a deployment does: within the bound, with exit code 0, and nothing of its is lost."""
    name = scene.chance.choice(scene.crew.names("worker"))
    pid, held = scene.crew.pid(name), _running_in(scene, [name])
    code = scene.crew.drain(name)
    scene.did("SIGTERM")
    scene.crew.revive()
    if code not in (0, -signal.SIGTERM):
        scene.broken.append(f"drain was not graceful: {name} ({pid}) ended with {code}")
    lost = [entry for entry in held if steadily(lambda each=entry: _is_lost(each))]
    if lost:
        scene.broken.append(f"drain lost what it ran: {[str(entry.task_id) for entry in lost]}")


def _is_lost(entry: QueueEntry) -> bool:
    return bool(Attempt.objects.of_lease(entry.task_id, entry.epoch).filter(state="lost").exists())


def stop_broker(scene: Scene) -> None:
    """Take Redis away for some seconds, with all that it held; submissions go on meanwhile."""
    scene.stack.redis.stop()
    scene.did("broker stopped")
    key = f"broker-{scene.chance.random()}"
    scene.load.note(key, scene.client.submit(body_of(QUICK, scene.chance), key))
    time.sleep(scene.chance.uniform(1, 3))
    scene.stack.redis.start()
    _goes_on(scene, "the broker came back")


def flush_broker(scene: Scene) -> None:
    """Empty Redis: every message that waits there is lost."""
    scene.stack.redis.flush()
    scene.did("broker emptied")
    _goes_on(scene, "the broker was emptied")


def restart_database(scene: Scene) -> None:
    """Restart PostgreSQL; what is committed stays, whatever is open is rolled back."""
    scene.stack.postgres.stop()
    scene.did("database restarted")
    scene.stack.postgres.start()
    _goes_on(scene, "the database was restarted")


def end_backends(scene: Scene) -> None:
    """End every connection to the database in the middle of whatever it does."""
    with psycopg.connect(scene.stack.postgres.url("postgres"), autocommit=True) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'tasuki'"
        ).fetchone()
    scene.did("database connections ended", ended[0] if ended else 0)
    _goes_on(scene, "all database connections were ended")


def lock_row(scene: Scene) -> None:
    """Hold the row of a running entry for some seconds, as an operator's forgotten transaction does."""
    with psycopg.connect(scene.stack.postgres.url()) as other:
        other.execute("SELECT 1 FROM queueing_queueentry WHERE state = 'running' ORDER BY id LIMIT 1 FOR UPDATE")
        scene.did("row of a running entry locked")
        time.sleep(3)


def double_messages(scene: Scene) -> None:
    """Send Celery every message that is under way again, and some that are long past."""
    at_work = steadily(lambda: list(QueueEntry.objects.filter(state__in=LIVE_AT_PROVIDER, dispatch_id__isnull=False)))
    copies = [
        Dispatch(each.task_id, each.epoch, each.dispatch_id, each.provider, each.lane)
        for each in at_work
        if each.dispatch_id
    ]
    old = steadily(lambda: list(Attempt.objects.order_by("-id").select_related("task")[:20]))
    copies += [Dispatch(each.task_id, each.epoch, each.dispatch_id, each.provider, each.task.lane) for each in old]
    scene.chance.shuffle(copies)
    scene.did("messages doubled", sum(send(each) for each in copies * 2))


def storm_of_cancels(scene: Scene) -> None:
    """Cancel the same tasks from many clients at once; and again when they have ended."""
    pick = steadily(
        lambda: list(AIGenerationTask.objects.active().order_by("-id").values_list("pk", flat=True)[:STORM])
    )

    def cancel(number: int) -> None:
        scene.client.call("POST", f"/tasks/{pick[number % len(pick)]}/cancel", {}, place=number)

    if pick:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(cancel, range(4 * len(pick))))
        scene.did("cancels in a storm", 4 * len(pick))


def storm_of_one_key(scene: Scene) -> None:
    """Send the same request under the same key from many clients at once: one task, and its id to all."""
    key, body = f"same-{scene.chance.random()}", body_of(QUICK, scene.chance)
    with ThreadPoolExecutor(STORM) as pool:
        ids = set(pool.map(lambda place: scene.client.submit(body, key, place=place), range(STORM)))
    scene.load.note(key, min(ids))
    scene.did("requests under one key", STORM)
    if len(ids) != 1:
        scene.broken.append(f"one key made several tasks: {sorted(ids)}")
    status, _ = scene.client.call("POST", "/tasks", {**body, "priority": "urgent"}, key=key)
    if status != 422:
        scene.broken.append(f"a key took another body: status {status}")


def meddle(scene: Scene) -> None:
    """Pause and resume in the middle of the work, cancel what waits, and send every dead letter back, twice at once."""
    scene.client.call("POST", f"/queues/{PROVIDER}/pause", {"reason": "chaos"})
    time.sleep(scene.chance.uniform(0.5, 2))
    scene.client.call("POST", f"/queues/{PROVIDER}/resume")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: _redrive(scene), range(2)))
    scene.did("pause and resume")
    _goes_on(scene, "operators meddled")


def _redrive(scene: Scene) -> None:
    """Send all dead letters back; there is one to send, for a refused task is submitted where there is none."""
    if not steadily(lambda: DeadLetter.objects.open().exists()):
        key = f"refused-{scene.chance.random()}"
        scene.load.note(key, scene.client.submit(body_of(REFUSED, scene.chance), key))
        wait_for(lambda: steadily(lambda: DeadLetter.objects.open().exists()), "a dead letter", 60)
    scene.client.call("POST", "/redrives", {"filter": {}, "reason": "chaos"})
    scene.did("redrive")


OUTAGES: tuple[Episode, ...] = (stop_broker, flush_broker, restart_database, end_backends)
"""Episodes in which the broker or the database is away."""
OTHERS: tuple[Episode, ...] = (
    kill_all_workers,
    kill_beats,
    drain,
    lock_row,
    double_messages,
    storm_of_cancels,
    storm_of_one_key,
    meddle,
)
"""The other episodes, beside `crash` and `freeze`."""
