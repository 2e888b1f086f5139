"""Celery tasks of the chat, for beat."""

from typing import Any

from celery import shared_task

from ai_tasks import clock
from chat import conversation


@shared_task(name="chat.close_idle_sessions", ignore_result=True)
def close_idle_sessions(**_: Any) -> None:
    """Close sessions that nobody used for long."""
    conversation.close_idle(clock.now())
