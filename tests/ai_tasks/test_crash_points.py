"""Crash points: each is in the code, an armed one ends its process without a word, others do nothing."""

import ast
import signal
import subprocess
import sys
from collections import Counter

import pytest

from ai_tasks.crash_points import POINTS, Crash, reached
from config.settings import BASE_DIR

JOBS = 2
"""Kinds: redrives and bulk actions share their steps, files of requests have theirs."""
WALK = """
from ai_tasks.crash_points import reached
for number in range(3):
    reached("begun")
    reached("called")
    print(number, flush=True)
"""


def walk(**environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a process that comes by two points three times."""
    command = [sys.executable, "-c", WALK]
    return subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False)


def test_an_armed_point_ends_the_process_there() -> None:
    ended = walk(TASUKI_CRASH_AT="called")

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == ""


def test_a_point_can_be_passed_some_times() -> None:
    ended = walk(TASUKI_CRASH_AT="begun:3")

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["0", "1"]


def test_nothing_happens_unarmed() -> None:
    assert walk().stdout.split() == ["0", "1", "2"]

    for point in POINTS:
        reached(point)


def test_a_wrong_setting_stops_the_start() -> None:
    assert "must be one of" in walk(TASUKI_CRASH_AT="somewhere").stderr

    with pytest.raises(ValueError, match="invalid literal"):
        Crash("begun:often")


def test_every_point_is_on_the_walk_once_and_a_jobs_in_each_kind_of_job() -> None:
    found: Counter[str] = Counter()
    for path in (BASE_DIR / "ai_tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "crash_points.reached" in ast.unparse(node):
                found.update(each.value for each in node.args if isinstance(each, ast.Constant))

    assert found == Counter({**dict.fromkeys(POINTS, 1), "batched": JOBS})
