"""An upgrade while tasks run, step by step as docs/operations.md has it: old and new code on one schema, and back."""

import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.chaos.client import Client
from config.local_services import free_port, throw_away_folder
from config.programs import answers, printed_key
from config.settings import BASE_DIR
from config.stack import Stack
from tests.flows.client import Api, eventually

pytestmark = [pytest.mark.stack, pytest.mark.scale]

PARTS = ("config", "ai_tasks", "chat", "queueing", "providers")
COLUMNS = {
    "ai_tasks": 'AIGenerationTask.add_to_class("since_then", models.CharField(max_length=9, db_default="then"))',
    "queueing": 'QueueEntry.add_to_class("since_then", models.CharField(max_length=9, null=True, default="now"))',
}
"""What the new version has more: a column with a database default, and one that is nullable and that it writes."""
BODY = {"type": "text.generate", "input": {"prompt": "Go on.", "simulate": {"output_tokens": 20}}}
LONG = {"output_tokens": 1200, "tokens_per_second": 60, "latency_ms": 0}
"""Twenty seconds: longer than the grace of a worker that is told to stop."""


class Traffic(threading.Thread):
    """Submits tasks one after the other, by turns through each web process, until it is told to stop."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self._client, self._is_over = client, threading.Event()
        self.ids: list[str] = []

    def run(self) -> None:
        """Keep the id that each request was answered with, however often it had to be sent."""
        while not self._is_over.wait(0.2):
            number = len(self.ids)
            self.ids.append(self._client.submit(BODY, f"upgrade-{number}", place=number))

    def stop(self) -> list[str]:
        """Return the ids of all tasks."""
        self._is_over.set()
        self.join(60)
        return self.ids


def next_version(folder: Path, stack: Stack) -> Path:
    """Return the sources of a version with two more columns, and the migrations for them."""
    code = folder / "next"
    for name in PARTS:
        shutil.copytree(BASE_DIR / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BASE_DIR / "manage.py", code)
    for app, column in COLUMNS.items():
        with (code / app / "models.py").open("a", encoding="utf-8") as models:
            models.write(f"\n\n{column}\n")
    stack.code = code
    stack.manage("makemigrations", *COLUMNS)
    return code


def commands() -> list[str]:
    """Return the commands of the first step."""
    page = (BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    step = page.split("## Upgrade")[1].split("\n1. ")[1].split("\n2. ")[0]
    return re.findall(r"`manage\.py ([^`]+)`", step)


def exchange(stack: Stack, name: str) -> None:
    """Stop the process as the page says, and start it from the stack's sources."""
    process = stack.processes.pop(name)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM)
    stack.spawn(name)
    if name in stack.urls:
        eventually(lambda: answers(f"{stack.urls[name]}/readyz"), f"{name} is ready")


def exchange_all(stack: Stack) -> None:
    """Exchange every process, in the page's order; of the workers one is there at any time."""
    for name in sorted(stack.names, key=lambda name: ("worker", "web", "beat").index(name.split("-")[0])):
        exchange(stack, name)
        if name.startswith("worker"):
            joined = f"{ALIVE} WHERE pid = {stack.processes[name].pid}"
            eventually(lambda query=joined: ask(stack, query), f"{name} has joined")


def goes_on(traffic: Traffic, who: str) -> None:
    """Wait until some more tasks were accepted."""
    before = len(traffic.ids)
    eventually(lambda: len(traffic.ids) > before + 5, f"{who} takes tasks")


ALIVE = "SELECT count(*) FROM ai_tasks_workerprocess"
UNDONE = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status <> 'completed'"
UNPAID = """SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM ai_tasks_ledgerentry WHERE attempt_id = ai_tasks_attempt.id)"""
TRIES = "SELECT coalesce(sum(tries + infrastructure_tries + crashes), 0) FROM ai_tasks_aigenerationtask"


def ask(stack: Stack, query: str) -> Any:
    """Return the first column of the first row."""
    with psycopg.connect(stack.postgres.url()) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """PostgreSQL, Redis, two web processes, two workers and beat, of the old version."""
    with throw_away_folder("upgrade") as folder:
        running = Stack(folder, port=free_port(), webs=2, is_durable=False)
        try:
            running.start()
            eventually(lambda: ask(running, ALIVE) == 2, "both workers joined")
            yield running
        finally:
            running.stop()


def test_an_upgrade_step_by_step_and_back_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    key = printed_key(stack.manage("welcome", "--url", stack.url))
    api, traffic = Api(stack.url, key), Traffic(Client(list(stack.urls.values()), key))
    long = [api.submit("A long one.", **LONG)["id"] for _ in range(4)]
    traffic.start()

    next_version(tmp_path, stack)
    for command in commands():
        stack.manage(*command.split())
    goes_on(traffic, "the old version, on the new schema")
    exchange_all(stack)
    goes_on(traffic, "the new version")
    stack.code = BASE_DIR
    exchange_all(stack)
    ids = [*long, *traffic.stop()]

    eventually(lambda: ask(stack, UNDONE) == 0, "every task is done")
    assert commands() == ["check --deploy", "migrate", "collectstatic --no-input"]
    assert len(set(ids)) == len(ids) == ask(stack, "SELECT count(*) FROM ai_tasks_aigenerationtask")
    assert (ask(stack, UNPAID), ask(stack, TRIES)) == (0, 0)
    seen = api.events(long[0])
    begun = max((place for place, (name, _) in enumerate(seen) if name == "task.reset"), default=0)
    said = "".join(data["text"] for name, data in seen[begun:] if name == "task.delta")
    assert said == api.task(long[0])["output"]["text"]
