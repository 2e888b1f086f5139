"""Celery tasks of the chat, for beat."""

from typing import Any

from celery import shared_task

from ai_tasks import clock
from chat import attaching, conversation


@shared_task(name="chat.close_idle_sessions", ignore_result=True)
def close_idle_sessions(**_: Any) -> None:
    """Close sessions that nobody used for long."""
    conversation.close_idle(clock.now())


@shared_task(name="chat.forget_unsent_files", ignore_result=True)
def forget_unsent_files(**_: Any) -> None:
    """Delete files that were uploaded and never sent."""
    attaching.forget_unsent(clock.now())
