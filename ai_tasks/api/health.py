"""Is this process alive, and can it do its work?"""

import asyncio
import logging
from collections.abc import Awaitable

from celery import current_app
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ai_tasks.delivery import in_thread
from ai_tasks.metrics import Metrics

logger = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
NO_STORE = {"Cache-Control": "no-store"}
_registry = CollectorRegistry(auto_describe=False)
_registry.register(Metrics())


@require_safe
async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer: the process serves requests."""
    return JsonResponse({"status": "ok"}, headers=NO_STORE)


@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, broker and channel layer answer within two seconds, else 503; each is named."""
    checks = {"database": in_thread(_ask_database), "broker": in_thread(_ask_broker), "channel_layer": _ask_layer()}
    answers = await asyncio.gather(*(_verdict(name, check) for name, check in checks.items()))
    is_ready = all(answer == "ok" for answer in answers)
    body = {"status": "ok" if is_ready else "unavailable", "checks": dict(zip(checks, answers, strict=True))}
    return JsonResponse(body, status=200 if is_ready else 503, headers=NO_STORE)


async def _verdict(name: str, check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, CHECK_SECONDS)
    except Exception as error:
        # Addresses and credentials stand in such errors: the log may have them, the caller not.
        logger.warning("Not ready: %s: %r", name, error)
        return "unavailable"
    return "ok"


@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer in Prometheus' text format; where METRICS_TOKEN is set, to who brings it as a bearer token."""
    wanted = settings.AI_METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if wanted and not constant_time_compare(given, wanted):
        return JsonResponse({"status": "unauthorized"}, status=401, headers=NO_STORE | {"WWW-Authenticate": "Bearer"})
    text: bytes = await in_thread(generate_latest, _registry)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers=NO_STORE)


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_broker() -> None:
    with current_app.connection_for_write(connect_timeout=CHECK_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=CHECK_SECONDS)


async def _ask_layer() -> None:
    """To a group of nobody: a channel of its own would leave a subscription behind at every question."""
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("There is no channel layer.")
    await layer.group_send("readyz", {"type": "readyz"})
