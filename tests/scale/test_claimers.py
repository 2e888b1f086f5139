"""Sixteen processes claim five thousand tasks, each once and in order; and one task beside ten thousand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks.models import AIGenerationTask, Attempt
from config.chaos.invariants import violations
from config.settings import BASE_DIR
from providers import control
from providers.types import Limits
from queueing.models import FairShare, QueueEntry, TaskQueue
from tests.engine import NOW, claimed, text_task

pytestmark = [pytest.mark.scale, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]

CLAIMERS, TASKS = 16, 5_000
CLAIM = """
import sys, uuid
import django
django.setup()
from django.db import OperationalError
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry
worker, claimed = uuid.uuid4(), 0
while True:
    try:
        lease = AIGenerationTask.objects.claim_next_pending_task(worker, provider="simulator")
        if lease is None and not QueueEntry.objects.waiting().exists():
            break
        claimed += lease is not None
    except OperationalError as error:
        print(error, file=sys.stderr)
print(claimed)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a process needs to work on the tests' database."""
    found = connection.settings_dict
    common = {"DJANGO_SETTINGS_MODULE": "config.settings", "TASUKI_VAR": str(tmp_path), "AI_DISPATCHER": "false"}
    if connection.vendor == "sqlite":
        return {**os.environ, **common, "DATABASE_URL": f"sqlite:///{found['NAME']}"}
    url = f"postgres://{found['USER']}@{found['HOST']}:{found['PORT']}/{found['NAME']}"
    services = {"DATABASE_URL": url, "REDIS_URL": os.environ["TEST_REDIS_URL"], "SECRET_KEY": "for this test"}
    return {**os.environ, **common, **services}


def write_tasks(owner: User, count: int) -> list[Any]:
    """Write that many tasks with their entries, in this order, and return their ids."""
    first = text_task(owner, model="simulator/sim-1")
    entry = QueueEntry.objects.get()
    template = {field.attname: getattr(first, field.attname) for field in first._meta.concrete_fields}
    place = {
        field.attname: getattr(entry, field.attname) for field in entry._meta.concrete_fields if field.name != "id"
    }
    del template["id"]
    copies = [AIGenerationTask(**template) for _ in range(count - 1)]
    AIGenerationTask.objects.bulk_create(copies, batch_size=500)
    QueueEntry.objects.bulk_create(
        [
            QueueEntry(**place | {"task_id": copy.pk, "fair_tag": entry.fair_tag + number})
            for number, copy in enumerate(copies, 1)
        ],
        batch_size=500,
    )
    return [first.pk, *(copy.pk for copy in copies)]


def test_each_is_leased_once_and_in_order(alice: User, environment: dict[str, str]) -> None:
    control.set_limits("simulator", Limits())
    order = write_tasks(alice, TASKS)

    workers = [
        subprocess.Popen([sys.executable, "-c", CLAIM], cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE)
        for _ in range(CLAIMERS)
    ]
    counts = [int(worker.communicate(timeout=540)[0].split()[-1]) for worker in workers]

    attempts = list(Attempt.objects.order_by("pk").values_list("task_id", "epoch"))
    assert sum(counts) == len(attempts) == TASKS
    # Admission is one after another under the provider's lock: the order is the queue's, without any slack.
    assert attempts == [(task_id, 1) for task_id in order]
    assert QueueEntry.objects.running().count() == TASKS
    assert violations() == []


def test_one_task_beside_ten_thousand_starts_within_one_quantum(alice: User, bob: User) -> None:
    write_tasks(alice, 10_000)
    last_tag = QueueEntry.objects.order_by("-fair_tag").values_list("fair_tag", flat=True)[0]
    FairShare.objects.filter(owner_key=str(alice.pk)).update(last_tag=last_tag)
    assert all(clock.virtual_time < last_tag for clock in TaskQueue.objects.queue("simulator").classes.all())

    only = text_task(bob, model="simulator/sim-1", now=NOW)

    assert only.pk in [claimed().task.pk for _ in range(2)]
