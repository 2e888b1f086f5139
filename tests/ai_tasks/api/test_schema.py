"""The API's description, and its page."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

SEEN = [
    "/tasks",
    "/tasks/{task_id}/events",
    "/ws-tickets",
    "/providers",
    "/queues",
    "/queues/{provider}",
    "/queues/{provider}/entries",
    "/queues/{provider}/pause",
    "/queues/{provider}/resume",
    "/queues/{provider}/reorder",
    "/dead-letters",
    "/dead-letters/groups",
    "/dead-letters/discard",
    "/redrives",
    "/redrives/{redrive_id}",
    "/redrives/{redrive_id}/stop",
    "/webhook-endpoints",
    "/webhook-deliveries/{delivery_id}/resend",
]

SEEN_UNDER_V1 = ["/files", "/files/{file_id}", "/files/{file_id}/content", "/batches", "/batches/{batch_id}/cancel"]


def test_the_description_is_valid_and_complete() -> None:
    out = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)

    for path in SEEN:
        assert f"  /api/v1{path}:\n" in out.getvalue()
    for path in SEEN_UNDER_V1:
        assert f"  /v1{path}:\n" in out.getvalue()
    assert out.getvalue().startswith("openapi: 3.1")
    assert "Name three rivers of Japan." in out.getvalue()


def test_no_address_is_described_twice(client: Client) -> None:
    paths = client.get("/api/schema/?format=json", headers={"Accept": "application/json"}).content.decode()

    assert "/api/v1/tasks/:" not in paths


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/api/docs/")
    html = page.content.decode()

    assert page.status_code == 200
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\son\w+=|style=", html)
    assert all(url.startswith("/") for url in re.findall(r'(?:src|href)="([^"]*)"', html))


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["src", "href"])
def test_everything_the_page_names_is_there(settings: Any, name: str) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    client = Client()
    html = client.get("/api/docs/").content.decode()

    for url in re.findall(rf'{name}="([^"]*)"', html):
        answer: Any = client.get(url.replace("&amp;", "&"))
        assert answer.status_code == 200, url
        if answer.streaming:
            answer.close()
