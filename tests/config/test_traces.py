"""Traces: web, worker and provider in one, by OpenTelemetry's conventions; nothing at all when off."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ai_tasks import trail
from config.settings import BASE_DIR
from config.stack import inherited
from config.telemetry import OpenTelemetry
from tests.engine import run_admitted

PROMPT = "A secret prompt about the Rhine"
TRACE_ID, CALLER_S_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Export spans into memory."""
    exporter = InMemorySpanExporter()
    trail.export_to(OpenTelemetry(SimpleSpanProcessor(exporter)))
    yield exporter
    trail.export_to(None)


def submit(client: Client, **simulate: Any) -> Any:
    body = {"type": "text.generate", "input": {"prompt": PROMPT, "max_output_tokens": 50, "simulate": simulate}}
    headers = {"traceparent": f"00-{TRACE_ID}-{CALLER_S_SPAN}-01"}
    return client.post("/api/v1/tasks", json.dumps(body), content_type="application/json", headers=headers).json()


def by_kind(exporter: InMemorySpanExporter) -> dict[str, Any]:
    return {span.kind.name: span for span in exporter.get_finished_spans()}


@pytest.mark.django_db(transaction=True)
def test_a_trace_goes_from_the_caller_through_web_and_worker_to_the_provider(
    client: Client, alice: User, providers_ready: None, exported: InMemorySpanExporter
) -> None:
    client.force_login(alice)

    task = submit(client, output_tokens=20)
    run_admitted()

    spans = by_kind(exported)
    web, worker, provider = (spans[kind] for kind in ("SERVER", "CONSUMER", "CLIENT"))
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE_ID}
    assert f"{web.parent.span_id:016x}" == CALLER_S_SPAN
    assert worker.parent.span_id == web.context.span_id
    assert provider.parent.span_id == worker.context.span_id
    assert web.name == "POST /api/v1/tasks"
    assert dict(web.attributes) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/tasks",
        "http.response.status_code": 202,
    }
    assert (worker.name, worker.attributes["tasuki.task.id"]) == ("run text.generate", task["id"])
    assert provider.name == "chat sim-1"
    told = dict(provider.attributes)
    assert told.pop("gen_ai.usage.input_tokens") > 0
    assert told.pop("gen_ai.usage.output_tokens") > 0
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tasuki.simulator",
        "gen_ai.request.model": "sim-1",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.response.finish_reasons": ("stop",),
        "tasuki.provider": "simulator",
    }
    assert PROMPT not in "".join(span.to_json() for span in spans.values())


@pytest.mark.django_db(transaction=True)
def test_a_failed_call_says_its_class_and_nothing_else(
    client: Client, alice: User, providers_ready: None, exported: InMemorySpanExporter
) -> None:
    client.force_login(alice)

    submit(client, fail="refusal")
    run_admitted()

    assert by_kind(exported)["CLIENT"].attributes["error.type"] == "content_refused"


def imported(**environment: str) -> tuple[int, str]:
    """Start Django in another process; return its exit code and whether it imported what exports spans."""
    code = "import django, sys; django.setup(); print({'config.telemetry', 'opentelemetry.sdk.trace'} & {*sys.modules})"
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited(), **settings}, cwd=BASE_DIR, capture_output=True, text=True
    )
    return done.returncode, done.stdout.strip() or done.stderr


def test_when_off_nothing_of_opentelemetry_is_imported() -> None:
    assert imported() == (0, "set()")


def test_a_wrong_endpoint_stops_the_start_with_one_sentence() -> None:
    code, said = imported(OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")

    assert code == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT must start with http:// or https://." in said
