"""Drives the engine step by step, without Celery: what a test says happens, and nothing else."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import admission, clock, execution
from ai_tasks.admission import Plan
from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask, Attempt
from ai_tasks.submission import TaskRequest, submit
from providers.types import Completion, FinishReason, Usage
from queueing.models import QueueEntry, TaskQueue

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
WORKER, OTHER_WORKER = UUID(int=1), UUID(int=2)
MANY_THREADS = 1_000

T = TypeVar("T")


def at(seconds: float) -> datetime:
    """Return so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def text_task(owner: User, *, prompt: str = "Name a river.", now: datetime = NOW, **wish: Any) -> AIGenerationTask:
    """Submit a `text.generate` task; `simulate` and `max_output_tokens` go into its input."""
    given = {key: wish.pop(key) for key in ("simulate", "max_output_tokens") if key in wish}
    return submit(owner, TaskRequest(type="text.generate", input={"prompt": prompt, **given}, **wish), now=now)


def plan(provider: str = "simulator", *, threads: int = MANY_THREADS, now: datetime = NOW, limit: int = 32) -> Plan:
    """Admit as if workers with so many threads consumed both lanes of the provider."""
    lanes = [f"ai.{provider}.default", f"ai.{provider}.long"]
    workers = [(lanes, threads)] if threads else []
    tasks, due = AIGenerationTask.objects.all(), TaskQueue.objects.outlook(provider).next_due
    return admission.plan(tasks, provider, workers=workers, limit=limit, next_due=due, now=now)


def several(owner: User, count: int, **wish: Any) -> list[AIGenerationTask]:
    """Submit that many text tasks."""
    return [text_task(owner, **wish) for _ in range(count)]


def admitted(found: Plan) -> int:
    """Return how many entries a plan handed over."""
    return len(found.dispatches)


def claim(worker: UUID = WORKER, *, provider: str = "simulator", now: datetime = NOW) -> Lease | None:
    """Claim the best task of a provider."""
    found: Lease | None = AIGenerationTask.objects.claim_next_pending_task(worker, provider=provider, now=now)
    return found


def claimed(worker: UUID = WORKER, *, provider: str = "simulator", now: datetime = NOW) -> Lease:
    """Claim the best task of a provider; there must be one."""
    found = claim(worker, provider=provider, now=now)
    assert found is not None
    return found


def answer(text: str = "The Rhine.", *, input_tokens: int = 10, output_tokens: int = 5) -> Completion:
    """Return a provider's answer."""
    return Completion(text, FinishReason.STOP, Usage(input_tokens=input_tokens, output_tokens=output_tokens))


def run_admitted(provider: str = "simulator") -> int:
    """
    Admit and really run, one after the other, what there is room for; return how many attempts ended.

    The test must not be in a transaction of its own: what is streamed is written by another thread, which would wait
    for it until the database gives up, and the run for that thread.
    """
    assert not connection.in_atomic_block, "mark this test django_db(transaction=True)"
    found = plan(provider, now=clock.now())
    return sum(execution.run(each.task_id, each.epoch, each.dispatch_id) for each in found.dispatches)


def fresh(task: AIGenerationTask) -> AIGenerationTask:
    """Return the task as it is stored now."""
    return AIGenerationTask.objects.get(pk=task.pk)


def entry_of(task: AIGenerationTask) -> QueueEntry:
    """Return the task's queue entry."""
    return QueueEntry.objects.get(task_id=task.pk)


def attempt_of(task: AIGenerationTask, epoch: int = 1) -> Attempt:
    """Return one attempt of a task."""
    return Attempt.objects.get(task=task, epoch=epoch)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Make all calls at the same moment, each in a thread and on a connection of its own; return results or errors."""
    start = threading.Barrier(len(calls))

    def call(function: Callable[[], T]) -> T | Exception:
        try:
            start.wait(timeout=60)
            return function()
        except Exception as error:  # the test looks at it
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as executor:
        return list(executor.map(call, calls))


class Held:
    """A transaction of another connection, held open in a thread until `end`."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._worked = threading.Event()
        self._may_end = threading.Event()
        self._executor = ThreadPoolExecutor(1)
        self._future = self._executor.submit(self._run)

    def _run(self) -> None:
        from_here = connection
        try:
            from_here.set_autocommit(False)
            self._work()
            self._worked.set()
            self._may_end.wait(timeout=20)
            from_here.commit()
        finally:
            self._worked.set()
            from_here.close()

    def __enter__(self) -> "Held":
        assert self._worked.wait(timeout=20)
        return self

    def end(self) -> None:
        """Commit."""
        self._may_end.set()
        self._future.result(timeout=20)

    def __exit__(self, *_: object) -> None:
        self.end()
        self._executor.shutdown()
