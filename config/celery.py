"""The Celery app: one Celery queue per provider and lane, one for control, and the beat that sweeps."""

import os

from celery import Celery

from config import kombu_redis_fix

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
kombu_redis_fix.apply()

app = Celery("tasuki")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

EXPIRES_SECONDS = 30
"""A sweep that nobody took in this time is dropped; the next one does its work."""


def _every(seconds: float, task: str, queue: str = "control") -> dict[str, object]:
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": EXPIRES_SECONDS}}


app.conf.beat_schedule = {
    "admit": _every(2, "ai_tasks.admit"),
    "rescue": _every(5, "ai_tasks.rescue"),
    "deadlines": _every(5, "ai_tasks.time_out"),
    "lost-charges": _every(10, "ai_tasks.charge_lost"),
    "budgets": _every(5, "ai_tasks.watch_budgets"),
    "finish-hooks": _every(5, "ai_tasks.run_finish_hooks"),
    "webhooks": _every(1, "ai_tasks.send_webhooks", "webhooks"),
    "redrives": _every(2, "ai_tasks.resume_redrives"),
    "batches": _every(2, "ai_tasks.work_on_batches"),
    "watch": _every(5, "ai_tasks.watch"),
    "alerts": _every(10, "ai_tasks.alert"),
    "rollups": _every(60, "ai_tasks.roll_up"),
    "retention": _every(300, "ai_tasks.prune"),
    "flow": _every(60, "ai_tasks.note_flow"),
    "tidy": _every(300, "ai_tasks.tidy"),
    "close-idle-sessions": _every(300, "chat.close_idle_sessions"),
    "unsent-files": _every(3600, "chat.forget_unsent_files"),
}
