"""Runs the walk inside a test: what dispatcher and worker would do, one step after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connection

from ai_tasks import admission, execution
from ai_tasks.admission import Dispatch
from ai_tasks.models import AIGenerationTask

WORKERS = [(["ai.simulator.default", "ai.simulator.long"], 64)]

P = ParamSpec("P")
T = TypeVar("T")


def admit() -> list[Dispatch]:
    """Admit what there is room for, and hand it to nobody."""
    return admission.plan(AIGenerationTask.objects.all(), "simulator", workers=WORKERS).dispatches


def run_all() -> int:
    """Admit and run everything that waits, here; return how many attempts ended."""
    return sum(execution.run(each.task_id, each.epoch, each.dispatch_id) for each in admit())


async def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run database code in a thread of its own and close its connection."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, call)
