"""
What a team writes by hand: a Celery task, a row for it, django-celery-results. Tuned, and nothing else.

`python -m tests.benchmarks.plain_celery migrate`, `... enqueue 5000 0`, then `celery -A tests.benchmarks.plain_celery
worker -P prefork -c 2`. DATABASE_URL and REDIS_URL say where. Workers keep their connections and prefetch.
The job, as each row says: SELECT, UPDATE to processing, wait for so long, UPDATE to done with its result.
"""

import os
import sys
import time
from urllib.parse import urlsplit

import django
from celery import Celery
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

_database = urlsplit(os.environ["DATABASE_URL"])
IS_LATE = os.environ.get("ACKS_LATE") == "1"
settings.configure(
    INSTALLED_APPS=["django_celery_results", "tests.benchmarks"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _database.path[1:],
            "USER": _database.username,
            "HOST": _database.hostname,
            "PORT": _database.port,
            "CONN_MAX_AGE": None,
        }
    },
    MIGRATION_MODULES={"benchmarks": None},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SECRET_KEY="for a benchmark alone",
    USE_TZ=True,
)
django.setup()

app = Celery("plain")
app.conf.update(
    broker_url=os.environ["REDIS_URL"],
    result_backend="django-db",
    task_serializer="json",
    worker_prefetch_multiplier=1 if IS_LATE else 64,
    task_acks_late=IS_LATE,
    task_reject_on_worker_lost=IS_LATE,
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY_TIMEOUT", "3600"))},
)


@app.task(name="plain.run")
def run(job_id: int, seconds: float) -> dict[str, str]:
    """Do the job of a row."""
    jobs = apps.get_model("benchmarks", "Job")._default_manager
    job = jobs.get(pk=job_id)
    jobs.filter(pk=job_id).update(status="processing", started_at=timezone.now())
    time.sleep(seconds)
    result = {"text": f"Done: {job.prompt}"}
    jobs.filter(pk=job_id).update(status="done", result=result, finished_at=timezone.now())
    return result


def enqueue(count: int, seconds: float) -> None:
    """Write the rows, and send a message for each."""
    jobs = apps.get_model("benchmarks", "Job")._default_manager
    for number in range(count):
        run.delay(jobs.create(prompt=f"Name river {number}.").pk, seconds)


if __name__ == "__main__":
    if sys.argv[1] == "migrate":
        call_command("migrate", run_syncdb=True, verbosity=0)
    else:
        enqueue(int(sys.argv[2]), float(sys.argv[3]))
