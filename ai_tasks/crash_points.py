"""
Named boundaries of the walk at which a test ends this process as a power cut would; in production they do nothing.

TASUKI_CRASH_AT=begun arms one, TASUKI_CRASH_AT=begun:7 lets it pass six times. `manage.py chaos` restarts processes so.
"""

import os
import signal
import threading

POINTS = {
    "submitting": "task and entry are written, not committed",
    "submitted": "they are committed, the dispatcher is not rung",
    "planning": "entries are admitted, not committed",
    "planned": "they are committed, nothing is sent",
    "sent": "a message is with the broker, the next one is not",
    "beginning": "an entry is begun, not committed",
    "begun": "it is committed, the provider is not called",
    "called": "the provider is called, nothing is heard of it",
    "flushing": "chunks are written, not committed",
    "flushed": "they are committed, nobody is told",
    "answered": "the provider is done, nothing is settled",
    "settling": "the end is written, not committed",
    "settled": "it is committed, nobody is told",
    "ended": "all is told, the finish hooks have not run",
    "sweeping": "a sweep has moved a row, not committed",
    "swept": "it is committed, the next row is not",
    "batched": "a job's batch is committed, the next one is not",
}
"""Every point, and what is true there."""


class Crash:
    """The armed point; an empty name arms none."""

    def __init__(self, setting: str) -> None:
        """Read `name` or `name:times`; raises ValueError for a point that does not exist."""
        self.point, _, times = setting.partition(":")
        if self.point and self.point not in POINTS:
            raise ValueError(f"TASUKI_CRASH_AT must be one of {', '.join(POINTS)}, not {self.point!r}.")
        self._left = int(times or 1)
        self._lock = threading.Lock()

    def at(self, point: str) -> None:
        """Kill this process if it was to die here, at this time of coming by."""
        if point != self.point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_crash = Crash(os.environ.get("TASUKI_CRASH_AT", ""))
_is_armed = bool(_crash.point)


def reached(point: str) -> None:
    """End here, if a test wants it."""
    if _is_armed:
        _crash.at(point)
