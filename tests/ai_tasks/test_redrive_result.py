"""The Celery task of a redrive: one result, which says how far the job is."""

import json
from typing import Any

import pytest
from celery import current_app
from celery.app.trace import build_tracer
from django.contrib.auth.models import User
from django_celery_results.models import TaskResult

from ai_tasks import clock, tasks
from ai_tasks.redrives import jobs
from queueing.models import Redrive
from tests.ai_tasks.graves import bury

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]


def work(job: Redrive) -> None:
    """Do what a worker does with the message of a job."""
    trace = build_tracer(tasks.redrive.name, tasks.redrive, app=current_app._get_current_object())
    trace(str(job.pk), (), {"redrive_id": str(job.pk)}, {"task": tasks.redrive.name, "id": str(job.pk)})


def result_of(job: Redrive) -> tuple[str, dict[str, Any]]:
    """Return state and content of the job's result."""
    row = TaskResult.objects.get(task_id=str(job.pk))
    return row.status, json.loads(row.result)


def test_a_finished_job_leaves_its_counts(alice: User) -> None:
    bury(alice, 60)
    job = jobs.begin({}, by="carol")

    work(job)

    counts = {"job_id": str(job.pk), "total": 60, "done": 60, "skipped": 0, "failed": 0}
    assert result_of(job) == ("SUCCESS", {**counts, "state": "finished"})


def test_a_job_that_goes_on_later_shows_its_progress_until_its_end(alice: User) -> None:
    bury(alice, 30)
    job = jobs.begin({}, rate=1, by="carol")

    work(job)
    assert (result_of(job)[0], result_of(job)[1]["done"]) == ("PROGRESS", 21)

    work(job)
    assert (result_of(job)[0], result_of(job)[1]["done"]) == ("PROGRESS", 21)

    Redrive.objects.stop(job.pk, by="bob", now=clock.now())
    work(job)
    assert (result_of(job)[0], result_of(job)[1]["state"]) == ("SUCCESS", "stopped")


def test_beat_sends_each_due_job_under_its_own_id(alice: User) -> None:
    bury(alice)
    due, stopped = jobs.begin({}, by="carol"), jobs.begin({}, by="carol")
    Redrive.objects.stop(stopped.pk, by="bob", now=clock.now())

    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue("control")
        queue.clear()
        tasks.resume_redrives()
        sent = queue.get(timeout=60).headers
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        queue.close()

    assert (sent["task"], sent["id"]) == ("ai_tasks.redrive", str(due.pk))
