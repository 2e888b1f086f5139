"""The API's description, and its page."""

import re
from io import StringIO
from typing import Any

import jsonschema
import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from ai_tasks.api.problems import KINDS
from ai_tasks.representation import task_json
from ai_tasks.states import TaskStatus
from tests.engine import text_task

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


def described(client: Client) -> Any:
    return yaml.safe_load(client.get("/api/schema/").content)


@pytest.mark.django_db
@pytest.mark.parametrize("status", TaskStatus.values)
def test_there_is_a_true_example_of_a_task_in_each_state(client: Client, status: str, alice: User) -> None:
    description = described(client)
    example = description["components"]["examples"][f"task_{status}"]["value"]

    schema = {"$ref": "#/components/schemas/TaskDocument", "components": description["components"]}
    jsonschema.Draft202012Validator(schema).validate(example)
    assert example.keys() == task_json(text_task(alice)).keys()
    shown = description["paths"]["/api/v1/tasks/{task_id}"]["get"]["responses"]["200"]["content"]
    assert f"task_{status}" in shown["application/json"]["examples"]


def test_there_is_an_example_of_each_refusal(client: Client) -> None:
    description = described(client)

    for code in KINDS:
        problem = description["components"]["examples"][f"problem_{code}"]["value"]
        schema = {"$ref": "#/components/schemas/ProblemDocument", "components": description["components"]}
        jsonschema.Draft202012Validator(schema).validate(problem)
    refused = description["paths"]["/api/v1/tasks"]["post"]["responses"]["402"]["content"]["application/problem+json"]
    assert list(refused["examples"]) == ["problem_budget_exceeded"]


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
