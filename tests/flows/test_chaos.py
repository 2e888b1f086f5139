"""The chaos run itself: what it does to a whole installation is survived, and what would not be is seen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.settings import BASE_DIR

pytestmark = pytest.mark.stack

SEED = 7
KILLS, POINTS, ZOMBIES = 30, 11, 5


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The evidence of a run."""
    file: Path = tmp_path_factory.mktemp("chaos") / "evidence.json"
    command = [sys.executable, str(BASE_DIR / "manage.py"), "chaos", "--seed", str(SEED), "--controls"]
    done = subprocess.run(
        [*command, "--tasks", "2000", "--seconds", "60", "--evidence", str(file)],
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert file.exists(), done.stdout[-5000:]
    return json.loads(file.read_text())


def test_every_promise_holds(told: Any) -> None:
    assert told["broken"] == []
    assert all(told["invariants"].values())
    assert told["looks_while_it_ran"] > 0


def test_there_were_enough_faults_to_say_so(told: Any) -> None:
    assert told["kills"]["total"] >= KILLS
    assert told["kills"]["points"] >= POINTS
    assert told["kills"]["processes"].keys() == {"web", "worker", "beat"}
    assert told["faults"]["SIGSTOP past the lease"] >= ZOMBIES
    assert {"broker stopped", "broker emptied", "database restarted", "SIGTERM"} <= told["faults"].keys()


def test_zombies_spoke_and_were_not_heard(told: Any) -> None:
    assert 0 < told["zombies"]["late_writes_rejected"] <= told["zombies"]["leases_taken"]


def test_three_broken_guards_were_seen(told: Any) -> None:
    assert len(told["controls"]) == 3
    assert all(each["is_seen"] for each in told["controls"].values())
