"""
What a team writes by hand: a Celery task, a row for it, django-celery-results. Tuned, and nothing else.

`python -m tests.benchmarks.plain_celery migrate`, `... enqueue 5000 0`, then `celery -A tests.benchmarks.plain_celery
worker -P prefork -c 2`. DATABASE_URL and REDIS_URL say where. Workers keep their connections and prefetch.
The job, as each row says: SELECT, UPDATE to processing, wait for so long, UPDATE to done with its result.
"""

import json
import os
import sys
import time
import urllib.request
from urllib.parse import urlsplit

import django
from celery import Celery
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import close_old_connections
from django.db.models import F
from django.utils import timezone

_database = urlsplit(os.environ["DATABASE_URL"])
SCRIPT = {"latency_ms": 400, "tokens_per_second": 0, "output_tokens": 24}
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
            "CONN_HEALTH_CHECKS": True,
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
    broker_connection_max_retries=None,
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


@app.task(name="plain.call", autoretry_for=(Exception,), max_retries=3, retry_backoff=True)
def call(job_id: int) -> dict[str, str]:
    """Do the job of a row by asking the provider, as most would write it."""
    jobs = apps.get_model("benchmarks", "Job")._default_manager
    job = jobs.get(pk=job_id)
    jobs.filter(pk=job_id).update(status="processing", started_at=timezone.now())
    body = {"model": "sim-1", "messages": [{"role": "user", "content": job.prompt}], "simulate": SCRIPT}
    headers = {"Content-Type": "application/json", "X-Request-Id": f"job-{job_id}"}
    url = f"{os.environ['PROVIDER_URL']}/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        result = {"text": json.load(answer)["choices"][0]["message"]["content"]}
    done = {"status": "done", "result": result, "finished_at": timezone.now(), "finishes": F("finishes") + 1}
    jobs.filter(pk=job_id).update(**done)
    return result


def submit(prompt: str) -> int:
    """Write a row, send its message, and return its id; raises whatever was in the way."""
    close_old_connections()
    job = apps.get_model("benchmarks", "Job")._default_manager.create(prompt=prompt)
    call.apply_async((job.pk,), retry=False)
    return int(job.pk)


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
