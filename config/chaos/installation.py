"""The whole installation that is to survive: its addresses, its start, and what it is set up with."""

import json
import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from ai_tasks import clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
from ai_tasks.models import WorkerProcess
from config.chaos.client import Client, wait_for
from config.chaos.crew import Crew
from config.chaos.load import LIMITED, PROVIDER, ROUTE, Load, Work
from config.chaos.scene import Scene
from config.local_services import free_port
from config.programs import Simulator, printed_key
from config.stack import Stack, inherited
from providers import control
from providers.types import Candidate, Limits

LEASE_SECONDS, GRACE_SECONDS = 6, 20
PORTS, SLOTS = "TASUKI_CHAOS_PORTS", "TASUKI_CHAOS_SLOTS"
FEW_SLOTS, MANY_SLOTS = 16, 96
"""Calls at once: few bind soon, many let a soak's hundred thousand tasks through."""
SOAK: dict[str, int] = {"quick": 600, "bundle": 50, "enough": 800}
"""What two cores need to get a hundred thousand tasks through in half an hour, beside the faults."""
CAPS: dict[str, int] = {PROVIDER: int(os.environ.get(SLOTS, FEW_SLOTS)), LIMITED: 3}
"""The most calls at once, by provider."""
WEBS, WORKERS, BEATS = 2, 3, 2


def environment(folder: Path, slots: int) -> dict[str, str]:
    """Return the environment of a process that does the chaos, on ports and data of its own below this folder."""
    ports = {name: free_port() for name in ("postgres", "redis", "simulator", "web")}
    provider = {
        "adapter": "openai",
        "base_url": f"http://127.0.0.1:{ports['simulator']}/v1",
        "options": {"simulate": True, "first_token_seconds": 4, "idle_seconds": 4},
    }
    return {
        **inherited(),
        PORTS: json.dumps(ports),
        "TASUKI_VAR": str(folder),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_URL": f"postgres://tasuki@127.0.0.1:{ports['postgres']}/tasuki",
        "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "AI_PROVIDERS": json.dumps({PROVIDER: provider, LIMITED: provider}),
        "AI_LEASE_SECONDS": str(LEASE_SECONDS),
        "AI_LOST_CHARGE_GRACE_SECONDS": str(GRACE_SECONDS),
        SLOTS: str(slots),
        "AI_WORKER_THREADS": str(slots // 2 + 8),
        "AI_DISPATCHER": "false",
    }


@contextmanager
def running(folder: Path, *, seed: int, tasks: int, seconds: float, soak: bool) -> Iterator[Scene]:
    """Run the installation that this process's environment describes, and what a run needs beside it."""
    ports = json.loads(os.environ[PORTS])
    simulator = Simulator(folder / "provider", port=ports["simulator"])
    stack = Stack(
        folder,
        port=ports["web"],
        workers=WORKERS,
        webs=WEBS,
        beats=BEATS,
        is_durable=False,
        AI_DISPATCHER="true",
    )
    stack.postgres.port, stack.redis.port = ports["postgres"], ports["redis"]
    try:
        simulator.start()
        stack.start()
        wait_for(lambda: WorkerProcess.objects.count() == WORKERS, "every worker joined")
        _set_up()
        client = Client(list(stack.urls.values()), printed_key(stack.manage("welcome", "--url", stack.url)))
        chance = random.Random(f"{seed}/faults")  # noqa: S311
        load = Load(client, seed, Work(tasks, seconds, **(SOAK if soak else {})))
        yield Scene(stack, simulator, client, load, Crew(stack), chance)
    finally:
        stack.stop()
        simulator.stop()


def _set_up() -> None:
    """Bound the providers, make the route, and have everything paid from one budget."""
    for provider, cap in CAPS.items():
        control.set_limits(provider, Limits(max_concurrency=cap))
    places = [Candidate(LIMITED, "sim-1"), Candidate(PROVIDER, "sim-1")]
    control.set_route(ROUTE, places, on_error={"rate_limited": "fall_back"})
    budgets.store(Budget(scope="global", limit_usd=Decimal(1000), time_zone="Asia/Tokyo"), clock.now())
