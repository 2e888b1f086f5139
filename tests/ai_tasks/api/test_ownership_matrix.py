"""Every address of a person's object, with every method, by its owner, a stranger, somebody else, staff, a dead key."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, get_resolver

from ai_tasks import clock, endpoints
from ai_tasks.access import keys
from ai_tasks.access.models import ApiKey, ResponseRecord
from ai_tasks.models import AIGenerationTask, Batch, StoredFile, WebhookDelivery
from ai_tasks.submission import TaskRequest, submit
from chat import attaching, conversation
from tests.engine import answer, claimed

pytestmark = pytest.mark.django_db(transaction=True)

Made = dict[str, str]
OWNED: dict[str, dict[str, Any]] = {
    "api/v1/tasks/<task_id>": {"GET": None},
    "api/v1/tasks/<task_id>/cancel": {"POST": None},
    "api/v1/tasks/<task_id>/retry": {"POST": None},
    "api/v1/tasks/<task_id>/events": {"GET": None},
    "api/v1/webhook-endpoints/<endpoint_id>/test": {"POST": None},
    "api/v1/webhook-endpoints/<endpoint_id>/rotate-secret": {"POST": None},
    "api/v1/webhook-endpoints/<endpoint_id>": {"GET": None, "PATCH": {"description": "Mine"}, "DELETE": None},
    "api/v1/webhook-deliveries/<delivery_id>": {"GET": None},
    "api/v1/webhook-deliveries/<delivery_id>/resend": {"POST": None},
    "api/v1/keys/<key_id>": {"GET": None, "PATCH": {"name": "Mine"}},
    "api/v1/keys/<key_id>/rotate": {"POST": {}},
    "api/v1/keys/<key_id>/revoke": {"POST": None},
    "v1/files/<file_id>/content": {"GET": None},
    "v1/files/<file_id>": {"GET": None, "DELETE": None},
    "v1/batches/<batch_id>/cancel": {"POST": None},
    "v1/batches/<batch_id>": {"GET": None},
    "v1/responses/<response_id>/input_items": {"GET": None},
    "v1/responses/<response_id>/cancel": {"POST": None},
    "v1/responses/<response_id>": {"GET": None, "DELETE": None},
    "api/v1/chat/sessions/<session_id>/export": {"GET": None},
    "api/v1/chat/sessions/<session_id>/messages": {"GET": None, "POST": {"content": "Hello"}},
    "api/v1/chat/sessions/<session_id>/attachments": {"POST": b"Hello"},
    "api/v1/chat/sessions/<session_id>/attachments/<attachment_id>": {"GET": None, "DELETE": None},
    "api/v1/chat/sessions/<session_id>": {"GET": None, "PATCH": {"title": "Mine"}, "DELETE": None},
}
"""Of each address the methods with a body that the owner may send."""
NOBODYS = re.compile("^(api/v1/(providers|queues|dead-letters|redrives)|v1/models)/")
"""Operators' objects have rights of their own (test_operator_rights); models are everybody's."""


@pytest.fixture
def mine(alice: User) -> Made:
    """The ids of alice's objects."""
    wish = TaskRequest(type="text.generate", input={"messages": [{"role": "user", "content": "Name a river."}]})
    endpoint = endpoints.create(alice, clock.now(), url="https://hooks.example/")
    task = submit(alice, wish)
    ResponseRecord.objects.create(task=task, asked={"model": "default", "input": "Name a river."})
    now = clock.now()
    AIGenerationTask.objects.complete(task.pk, claimed(now=now).epoch, answer(), now=now)
    session = conversation.start_session(alice)
    attachment = attaching.attach(session, "a.txt", b"Hello")
    file = StoredFile.objects.create(owner=alice, purpose="batch", name="a", created_at=now, is_whole=True)
    times = {"created_at": now, "due_at": now, "expires_at": now}
    batch = Batch.objects.create(owner=alice, endpoint="/v1/responses", input_file_id=file.pk, **times)
    return {
        "file_id": f"file-{file.pk}",
        "batch_id": f"batch_{batch.pk}",
        "task_id": str(task.pk),
        "response_id": f"resp_{task.pk}",
        "session_id": str(session.pk),
        "endpoint_id": str(endpoint.pk),
        "delivery_id": str(WebhookDelivery.objects.get().pk),
        "attachment_id": str(attachment.pk),
        "key_id": str(keys.create(alice, "of alice")[0].pk),
    }


def addresses() -> Iterator[str]:
    """Yield every address of an object under /api/v1/ and /v1/."""

    def walk(resolver: Any, before: str) -> Iterator[str]:
        for each in resolver.url_patterns:
            path = before + str(each.pattern)
            if isinstance(each, URLPattern):
                yield re.sub(r"<\w+:", "<", path)
            else:
                yield from walk(each, path)

    for path in walk(get_resolver(), ""):
        if path.startswith(("api/v1/", "v1/")) and "<" in path and not path.endswith("/"):
            yield path


def test_the_matrix_has_every_address() -> None:
    assert {path for path in addresses() if not NOBODYS.match(path)} == set(OWNED)


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, methods in OWNED.items() for method in methods])
def test_it_is_there_for_its_owner_alone(
    client: Client, alice: User, bob: User, key_of: Any, mine: Made, path: str, method: str
) -> None:
    address = "/" + re.sub(r"<(\w+)>", lambda found: mine[found[1]], path)
    staff = User.objects.create_superuser("carol")
    dead = key_of(alice)
    ApiKey.objects.filter(owner=alice).update(revoked_at=clock.now())

    def call(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = OWNED[path][method]
        return client.generic(method, address, *_body(body), headers=headers).status_code

    assert [call(""), call(dead), call("tsk_nonsense")] == [401] * 3
    assert [call(key_of(bob, scopes=keys.SCOPES)), call(key_of(staff, scopes=keys.SCOPES))] == [404] * 2
    assert call(key_of(alice, scopes=keys.SCOPES)) in (200, 201, 202, 204, 409)


def _body(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value, "application/octet-stream") if isinstance(value, bytes) else (json.dumps(value), "application/json")
