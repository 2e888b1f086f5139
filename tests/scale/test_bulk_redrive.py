"""Fifty thousand dead letters by the console: foreseen quickly, sent back at a rate, killed, stopped, resumed."""

import signal
import subprocess
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.models import AuditEntry
from ai_tasks.redrives import jobs
from queueing.models import DeadLetter, QueueEntry, Redrive
from tests.ai_tasks.ops.people import in_role
from tests.ai_tasks.ops.wishes import address, wish
from tests.ai_tasks.test_redrive_job import runner
from tests.scale.test_redrive import LETTERS, letters

__all__ = ["letters"]

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

RATE = 500
CHOSEN = {"error_class": "unavailable", "provider": "simulator"}


@pytest.fixture
def carol(client: Client, letters: None) -> User:
    """An operator, signed in."""
    user = in_role("operator")
    client.force_login(user)
    return user


def test_by_filter_all_are_sent_once_at_the_rate_through_a_kill_and_a_stop(client: Client, carol: User) -> None:
    began = time.perf_counter()
    assert f"<dd>{LETTERS:,}</dd>" in client.get(address("redrive", **CHOSEN)).content.decode()
    foreseen = time.perf_counter() - began
    assert wish(client, "redrive", CHOSEN, provider="same", rate=str(RATE)).status_code == 302
    job = Redrive.objects.get()

    with subprocess.Popen(runner(job), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    killed_at = Redrive.objects.get(pk=job.pk).done
    assert 250 <= killed_at == QueueEntry.objects.count() < LETTERS

    # Its time is told: the rate would take a hundred seconds else.
    begins = clock.now() + jobs.LEASE
    for second in range(0, 2 * LETTERS // RATE, 5):
        if Redrive.objects.get(pk=job.pk).state == Redrive.State.STOPPED:
            assert wish(client, "resume-job", {"job": job.pk}).status_code == 302
            Redrive.objects.update(due_at=begins)
        moment = begins + timedelta(seconds=second)
        for _ in jobs.carry_out(job.pk, tell=lambda moment=moment: moment):
            pass
        if second == 50:
            assert wish(client, "stop-job", {"job": job.pk}).status_code == 302
            assert list(jobs.carry_out(job.pk, tell=lambda moment=moment: moment)) == []

    job.refresh_from_db()
    print(f"foreseen in {foreseen:.2f} s")  # noqa: T201
    assert (job.state, job.done, job.skipped, job.failed) == ("finished", LETTERS, 0, 0)
    assert QueueEntry.objects.count() == LETTERS
    assert not DeadLetter.objects.open().exists()
    slots = sorted(QueueEntry.objects.exclude(parked_until=None).values_list("parked_until", flat=True))
    assert min(later - sooner for sooner, later in pairwise(slots)) >= timedelta(seconds=1 / RATE) * 0.99
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["resume-job", "stop-job", "redrive"]
