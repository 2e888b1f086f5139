"""Negative controls on the running installation: a worker with a broken guard, and the rule that then fails."""

from collections.abc import Callable
from typing import Any

from ai_tasks.models import WorkerProcess
from config.chaos import faults
from config.chaos.client import NeverTrue, wait_for
from config.chaos.controls import CONTROLS
from config.chaos.load import LIMITED, LONG, STREAMED, body_of, open_gate
from config.chaos.run import judge
from config.chaos.scene import Scene
from config.chaos.watching import Watch
from queueing.models import QueueEntry

SEEN_SECONDS = 90.0
WORKER = "worker-1"


def _submit(scene: Scene, kind: str, count: int, **wishes: Any) -> None:
    for number in range(count):
        key = f"control-{kind}-{number}-{scene.chance.random()}"
        scene.load.note(key, scene.client.submit({**body_of(kind, scene.chance), **wishes}, key))


def _rob(scene: Scene) -> None:
    _submit(scene, LONG, 6)


def _double(scene: Scene) -> None:
    _submit(scene, STREAMED, 8)
    wait_for(lambda: QueueEntry.objects.running().exists(), "something runs", 30)
    faults.double_messages(scene)


def _crowd(scene: Scene) -> None:
    open_gate(scene.client)
    _submit(scene, LONG, 16, model=f"{LIMITED}/sim-1")


PROVOKED: dict[str, Callable[[Scene], None]] = {
    "admit-without-limits": _crowd,
    "begin-without-compare-and-set": _double,
    "rescue-without-lease": _rob,
}
"""
The controls that show on a running installation within seconds; the others are tests of their own.

In an order in which none breaks the next one's rule too: what is taken from the living is at its provider twice.
"""


def control_all(scene: Scene, watch: Watch) -> dict[str, dict[str, Any]]:
    """Break one guard after the other, each in a new worker, and tell whether its rule was seen to fail."""
    return {name: {"rule": CONTROLS[name].rule, "is_seen": _is_seen(scene, watch, name)} for name in PROVOKED}


def _is_seen(scene: Scene, watch: Watch, name: str) -> bool:
    scene.told(f"control: {name}")
    rule = CONTROLS[name].rule
    if rule in _failing(scene, watch):
        return False
    for worker in [each for each in scene.crew.names("worker") if each in scene.stack.processes]:
        scene.crew.kill(worker)
    scene.stack.through = ["config.chaos.sabotage", name]
    scene.crew.start(WORKER)
    scene.stack.through = []
    pid = scene.crew.pid(WORKER)
    try:
        wait_for(lambda: WorkerProcess.objects.filter(pid=pid).exists(), f"a worker with {name} joins", SEEN_SECONDS)
        PROVOKED[name](scene)
        wait_for(lambda: rule in _failing(scene, watch), f"{rule} is seen", SEEN_SECONDS)
    except NeverTrue as error:
        scene.told(str(error))
        return False
    return True


def _failing(scene: Scene, watch: Watch) -> set[str]:
    return {rule for rule, rows in judge(scene, watch).checks if rows}
