"""Keys: in no URL, no error, no log, no page, whatever a server answers."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks import clock
from ai_tasks.models import Attempt
from providers import control
from queueing.models import DeadLetter
from tests.engine import run_admitted, text_task
from tests.providers import servers
from tests.providers.calls import Call
from tests.providers.formats import FORMATS, Format

SetUp = Callable[..., None]

KEYS = {
    "openai": "sk-proj-Al1ce0123456789-secret_ABC",
    "anthropic": "sk-ant-api03-Al1ce0123456789-secret_ABC",
    "gemini": "AIzaSyAl1ce0123456789secretABCDEFGHIJKL",
}


def telling(key: str) -> dict[str, bytes]:
    """Return answers that repeat the key in every place where an answer may."""
    said = f"Bad key {key}; Bearer {key}; https://a.example/v1?key={key}&alt=sse; {key[:12]}"
    details = [{"@type": "ErrorInfo", "reason": key, "metadata": {"key": key}}]
    error = {"error": {"message": said, "type": key, "code": key, "status": key, "details": details}}
    page = f"<html>{said}</html>"
    return {
        "401": servers.response(json.dumps(error), status="401 Unauthorized"),
        "429": servers.response(json.dumps(error), status="429 Too Many Requests", Retry_After=key),
        "500": servers.response(said, status="500 Oops", content_type="text/plain"),
        "page": servers.response(page, content_type="text/html"),
        "moved": servers.response("", status="302 Found", Location=f"https://b.example/?key={key}"),
        "stream": servers.STREAM_HEAD + servers.events([error], done=False),
        "event": servers.STREAM_HEAD + servers.events([{"type": "error", **error["error"]}], done=False),
        "blocked": servers.response(json.dumps({"promptFeedback": {"blockReason": said}})),
        "reason": servers.response(json.dumps({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]})),
        "not http": f"{key}\r\n\r\n".encode(),
        "bad head": f"HTTP/1.1 200 OK\r\n{key}\r\n\r\n".encode(),
        "nothing": b"",
    }


@pytest.fixture
def key_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Format], str]:
    def set_key(form: Format) -> str:
        monkeypatch.setenv("ALICE_AI_KEY", KEYS[form.adapter])
        return KEYS[form.adapter]

    return set_key


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


@pytest.mark.parametrize("where", telling("x"))
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_no_error_and_no_log_has_the_key(
    alice_ai: SetUp, key_of: Callable[[Format], str], caplog: pytest.LogCaptureFixture, form: Format, where: str
) -> None:
    key = key_of(form)
    with servers.vendor(telling(key)[where]) as vendor:
        alice_ai(vendor.url, adapter=form.adapter, key="ALICE_AI_KEY", **form.options)

        error = Call("alice-ai").error()

    shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
    assert "l1ce0123456789" not in shown
    assert vendor.heads[0].splitlines()[0].count("key") == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_no_page_has_the_key(
    alice_ai: SetUp, key_of: Callable[[Format], str], caplog: pytest.LogCaptureFixture, client: Client, form: Format
) -> None:
    key = key_of(form)
    client.force_login(User.objects.create_superuser("bob"))
    alice = User.objects.create_user("alice")
    with servers.vendor(telling(key)["401"]) as vendor:
        alice_ai(vendor.url, adapter=form.adapter, key="ALICE_AI_KEY", **form.options)
        control.ensure_providers(clock.now())
        task = text_task(alice, model="alice-ai/m", now=clock.now())
        run_admitted("alice-ai")

    assert Attempt.objects.get().error_message
    assert DeadLetter.objects.count() == 1
    pages = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in admin.site._registry
    ]
    pages += ["/api/v1/providers", f"/api/v1/tasks/{task.pk}", "/api/v1/dead-letters", "/api/v1/tasks"]
    pages += [reverse("admin:ai_tasks_aigenerationtask_change", args=[task.pk])]
    shown = [client.get(page, follow=True) for page in pages]
    assert any(b"[key]" in page.content for page in shown)
    assert not [page.request["PATH_INFO"] for page in shown if b"l1ce0123456789" in page.content]
    assert "l1ce0123456789" not in caplog.text
