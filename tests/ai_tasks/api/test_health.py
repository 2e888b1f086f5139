"""/healthz and /readyz."""

import time
from typing import Any

import pytest
from celery import current_app
from django.test import Client

from tests.ai_tasks.api.asgi import exchange


def test_a_live_process_says_so_without_asking_anybody(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_ready_process_names_what_it_asked() -> None:
    async with exchange("GET", "/readyz", {}) as sent:
        body = await sent.json()

    assert sent.status == 200
    assert body == {"status": "ok", "checks": {"database": "ok", "broker": "ok", "channel_layer": "ok"}}


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_named_in_time_and_its_address_is_not(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", f"redis://:secret@127.0.0.1:{unused_tcp_port}/0")
    began = time.monotonic()

    async with exchange("GET", "/readyz", {}) as sent:
        text = (await sent.body()).decode()

    assert sent.status == 503
    assert '"broker": "unavailable"' in text
    assert '"database": "ok"' in text
    assert "secret" not in text
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_only_reading_is_asked_of_them(client: Client, path: str) -> None:
    response: Any = client.post(path)

    assert response.status_code == 405
