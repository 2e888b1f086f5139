"""A task whose workers crashed twice runs alone, in a process of its own; only a crash there is its doing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from ai_tasks import clock, quarantine, sweeps
from ai_tasks.admission import Dispatch
from ai_tasks.models import AIGenerationTask, WorkerProcess
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations
from config.settings import BASE_DIR
from queueing.models import DeadLetter, QueueEntry
from tests.engine import answer, at, attempt_of, claimed, entry_of, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def crash(times: int, start: float = 0) -> float:
    """Claim the one task and lose it, so many times; return when."""
    for _ in range(times):
        claimed(now=at(start))
        sweeps.rescue_lost_leases(at(start + 91))
        start += 200
    return start


def quarantined(owner: User, **wish: Any) -> tuple[AIGenerationTask, Dispatch]:
    """Return a task that crashed twice and its dispatch, as of now."""
    task = text_task(owner, now=clock.now(), **wish)
    AIGenerationTask.objects.filter(pk=task.pk).update(crashes=2)
    QueueEntry.objects.filter(task_id=task.pk).update(is_quarantined=True)
    (dispatch,) = plan(now=clock.now()).dispatches
    return task, dispatch


def test_two_crashes_send_it_into_quarantine(alice: User) -> None:
    task, other = text_task(alice), text_task(alice, run_at=at(300))

    crash(1)
    assert not entry_of(task).is_quarantined
    seconds = crash(1, 200)
    assert entry_of(task).is_quarantined

    alone = {each.task_id: each.is_alone for each in plan(now=at(seconds)).dispatches}
    assert alone == {task.pk: True, other.pk: False}
    assert violations() == []


def test_a_crash_in_quarantine_is_poison(alice: User) -> None:
    task = text_task(alice)

    crash(3)

    letter = DeadLetter.objects.get()
    assert (fresh(task).status, fresh(task).crashes) == (TaskStatus.FAILED, 3)
    assert (letter.reason, letter.error_class) == ("crashed", "worker_lost")
    assert violations() == []


def test_the_crash_of_a_whole_installation_is_nobodys_doing(alice: User) -> None:
    task = text_task(alice)
    seconds = crash(2)
    claimed(now=at(seconds))

    sweeps.rescue_from_dead_processes(at(seconds + 1))

    assert (fresh(task).status, entry_of(task).is_quarantined) == (TaskStatus.PENDING, True)


def test_what_does_not_crash_alone_ends_as_any_other(alice: User) -> None:
    task = text_task(alice)
    seconds = crash(2)

    lease = claimed(now=at(seconds))
    AIGenerationTask.objects.complete(task.pk, lease.epoch, answer(), now=at(seconds + 1))

    assert fresh(task).status == TaskStatus.COMPLETED
    assert violations() == []


def test_a_lost_message_of_a_quarantined_task_is_sent_to_quarantine_again(alice: User) -> None:
    text_task(alice)
    seconds = crash(2)
    plan(now=at(seconds))

    assert sweeps.send_lost_messages(at(seconds + 11)) == 1


@pytest.mark.django_db(transaction=True)
def test_the_command_runs_the_task_to_its_end(alice: User) -> None:
    task, dispatch = quarantined(alice)

    call_command("run_alone", str(task.pk), str(dispatch.epoch), str(dispatch.dispatch_id))

    assert fresh(task).status == TaskStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_while_one_runs_alone_the_next_is_given_back_without_using_up_a_try(alice: User) -> None:
    task, dispatch = quarantined(alice)

    with quarantine._one_at_a_time:
        assert not quarantine.run(task.pk, dispatch.epoch, dispatch.dispatch_id)

    entry = entry_of(task)
    assert (entry.state, entry.parked_reason, entry.is_quarantined) == ("parked", "retry_backoff", True)
    assert (fresh(task).crashes, fresh(task).tries, fresh(task).deferrals) == (2, 0, 1)
    assert attempt_of(task).state == "released"
    assert violations() == []


@pytest.fixture
def same_database(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let child processes use the tests' database and the project's own settings."""
    found = connection.settings_dict
    if connection.vendor == "postgresql":
        place = f"{found['HOST']}:{found['PORT']}" if found["PORT"] else found["HOST"]
        url = f"postgres://{found['USER']}:{found['PASSWORD']}@{place}/{found['NAME']}"
        monkeypatch.setenv("REDIS_URL", os.environ["TEST_REDIS_URL"])
    else:
        url = f"sqlite:///{found['NAME']}"
    for name, value in (("DATABASE_URL", url), ("DJANGO_SETTINGS_MODULE", "config.settings")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TASUKI_VAR", str(tmp_path))
    yield
    quarantine.zygote.close()


@pytest.mark.django_db(transaction=True)
def test_a_real_process_of_its_own_runs_it(alice: User, same_database: None) -> None:
    task, dispatch = quarantined(alice, prompt="Name a river.")

    assert quarantine.run(task.pk, dispatch.epoch, dispatch.dispatch_id)

    assert fresh(task).status == TaskStatus.COMPLETED
    assert attempt_of(task).worker is not None
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_each_has_a_process_of_its_own_and_all_are_started_once(alice: User, same_database: None) -> None:
    tasks = [quarantined(alice) for _ in range(3)]

    assert all(quarantine.run(task.pk, each.epoch, each.dispatch_id) for task, each in tasks)

    assert len({attempt_of(task).worker for task, _ in tasks}) == 3
    assert WorkerProcess.objects.count() == 0, "none of them takes work"
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_one_that_ended_for_want_of_work_is_started_again(alice: User, same_database: None) -> None:
    (first, once), (second, again) = quarantined(alice), quarantined(alice)
    assert quarantine.run(first.pk, once.epoch, once.dispatch_id)
    former = quarantine.zygote._process
    assert former
    assert former.stdin
    former.stdin.close()
    former.wait(20)

    assert quarantine.run(second.pk, again.epoch, again.dispatch_id)

    assert quarantine.zygote._process is not former
    assert fresh(second).status == TaskStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_the_end_of_one_wakes_those_that_wait_for_their_turn(alice: User, same_database: None) -> None:
    (first, once), (second, again) = quarantined(alice), quarantined(alice)
    with quarantine._one_at_a_time:
        quarantine.run(second.pk, again.epoch, again.dispatch_id)
    assert entry_of(second).state == "parked"

    assert quarantine.run(first.pk, once.epoch, once.dispatch_id)

    assert entry_of(second).state == "waiting"


@pytest.mark.django_db(transaction=True)
def test_a_process_that_dies_condemns_its_task_at_once(
    alice: User, same_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The fork is told to kill itself as soon as its task runs, as a crash in C code would."""
    task, dispatch = quarantined(alice, simulate={"latency_ms": 20_000})
    (tmp_path / "sitecustomize.py").write_text(DIES_WHEN_THE_CALL_BEGINS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert not quarantine.run(task.pk, dispatch.epoch, dispatch.dispatch_id)

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.FAILED, "crashed")
    assert violations() == []


DIES_WHEN_THE_CALL_BEGINS = """
import os, signal, sys, threading

def watch():
    while not any(thread.name == "provider-calls" for thread in threading.enumerate()):
        threading.Event().wait(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

if "run_alone" in sys.argv:
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=watch, daemon=True).start())
"""


ORPHAN = """
import sys
from ai_tasks import execution, quarantine

if "run_alone" in sys.argv:
    quarantine.LONGEST_SECONDS = 0.5
    execution.run = lambda *_: sys.stdin.read()
"""


def test_a_process_whose_worker_died_ends_by_itself(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(f"import django\ndjango.setup()\n{ORPHAN}", encoding="utf-8")
    code = "import sys, orphan; from django.core.management import execute_from_command_line as run; run(sys.argv)"
    command = [sys.executable, "-c", code, "run_alone", str(uuid4()), "1", str(uuid4())]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}

    with subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 124


@pytest.mark.django_db(transaction=True)
def test_a_drained_worker_gets_its_quarantined_task_handed_back(alice: User, same_database: None) -> None:
    task, dispatch = quarantined(alice, simulate={"latency_ms": 30_000})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(quarantine.run, task.pk, dispatch.epoch, dispatch.dispatch_id)
        give_up_at = time.monotonic() + 30
        while fresh(task).status != TaskStatus.PROCESSING and time.monotonic() < give_up_at:
            time.sleep(0.05)
        while not running.done() and time.monotonic() < give_up_at + 20:
            quarantine.stop()
            time.sleep(0.1)
        assert running.result(60)

    assert (fresh(task).status, fresh(task).crashes, entry_of(task).state) == (TaskStatus.PENDING, 2, "waiting")
    assert violations() == []
