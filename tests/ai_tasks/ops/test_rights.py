"""Who may do what: a viewer nothing, by page, by address or by a crafted POST; and every action leaves its entry."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ai_tasks.models import AIGenerationTask, AuditEntry
from ai_tasks.ops.actions import tokens
from ai_tasks.ops.actions.urls import DO
from ai_tasks.oversight.actions import Action
from ai_tasks.redrives import jobs
from queueing.models import Redrive
from tests.ai_tasks.graves import bury, letter_of
from tests.ai_tasks.ops.people import in_role
from tests.ai_tasks.ops.wishes import address, wish
from tests.engine import NOW, claimed, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

Case = Callable[[User], tuple[dict[str, Any], dict[str, Any]]]
"""Returns what the address names, and what is filled in."""


def running(alice: User) -> AIGenerationTask:
    task = text_task(alice)
    claimed()
    return task


def begun(alice: User) -> Redrive:
    bury(alice)
    return jobs.begin({}, by="bob")


def stopped(alice: User) -> Redrive:
    job = begun(alice)
    Redrive.objects.stop(job.pk, by="bob", now=NOW)
    return job


def at_simulator(**filled: Any) -> Case:
    return lambda alice: ({"provider": "simulator"}, filled)


CASES: dict[Action, Case] = {
    Action.PAUSE_PROVIDER: at_simulator(minutes="60"),
    Action.RESUME_PROVIDER: at_simulator(),
    Action.DRAIN_PROVIDER: at_simulator(),
    Action.FORCE_CIRCUIT: at_simulator(mode="forced_open"),
    Action.FORCE_FALLBACK: at_simulator(minutes="60"),
    Action.PROBE_PROVIDER: at_simulator(model="sim-1"),
    Action.SET_LIMITS: at_simulator(max_concurrency="5"),
    Action.CANCEL_TASK: lambda alice: ({"task": text_task(alice).pk}, {}),
    Action.RETRY_TASK: lambda alice: ({"task": bury(alice)[0].pk}, {}),
    Action.REPRIORITISE: lambda alice: ({"task": text_task(alice).pk}, {"priority": "0"}),
    Action.RELEASE_LEASE: lambda alice: ({"task": running(alice).pk}, {}),
    Action.REDRIVE: lambda alice: ({"ids": letter_of(bury(alice)[0]).pk}, {"provider": "same", "rate": "5"}),
    Action.DISCARD: lambda alice: ({"ids": letter_of(bury(alice)[0]).pk}, {}),
    Action.EDIT_REDRIVE: lambda alice: (
        {"ids": letter_of(bury(alice)[0]).pk},
        {"model": "default", "priority": "2", "input": '{"prompt": "Another."}'},
    ),
    Action.STOP_JOB: lambda alice: ({"job": begun(alice).pk}, {}),
    Action.RESUME_JOB: lambda alice: ({"job": stopped(alice).pk}, {}),
}
every_action = pytest.mark.parametrize("action", CASES)


def test_every_action_has_a_page_and_a_case() -> None:
    assert set(DO) == {action.value for action in CASES}


@every_action
def test_an_operator_does_it_and_the_audit_says_so(client: Client, alice: User, action: Action) -> None:
    client.force_login(in_role("operator"))
    params, filled = CASES[action](alice)

    answer = wish(client, action, params, **filled)

    assert answer.status_code == 302, answer.content.decode()
    entry = AuditEntry.objects.get(action=action)
    assert (entry.actor, entry.reason, bool(entry.request_id)) == ("carol", "Because.", True)


@pytest.mark.parametrize("role", ["viewer", "budget owner", "nothing", "no staff"])
@every_action
def test_who_may_not_can_neither_open_it_nor_send_it(client: Client, alice: User, action: Action, role: str) -> None:
    user = User.objects.create_user("dave", is_staff=role == "nothing") if role[0] == "n" else in_role(role, "dave")
    client.force_login(user)
    params, filled = CASES[action](alice)
    path = address(action, **params)
    crafted = {"token": tokens.make(user.pk, action, 1_000), "reason": "Because."} | filled

    assert client.get(path).status_code == 403
    assert client.post(path, crafted).status_code == 403
    assert client.put(path, crafted).status_code == 403
    assert not AuditEntry.objects.exists()


@every_action
def test_its_page_asks_the_database_at_most_thirty_times(client: Client, alice: User, action: Action) -> None:
    client.force_login(in_role("operator"))
    path = address(action, **CASES[action](alice)[0])

    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200

    assert len(queries) <= 30, [each["sql"][:120] for each in queries]


@every_action
def test_a_stranger_is_sent_to_the_login(client: Client, alice: User, action: Action) -> None:
    params, filled = CASES[action](alice)

    answer = client.post(address(action, **params), filled | {"reason": "x"})

    assert (answer.status_code, "/admin/login/" in answer["Location"]) == (302, True)
    assert not AuditEntry.objects.exists()


@every_action
def test_it_is_not_done_by_looking(client: Client, alice: User, action: Action) -> None:
    client.force_login(in_role("operator"))
    params, filled = CASES[action](alice)

    assert client.get(address(action, **params, **filled, reason="x")).status_code == 200
    assert client.head(address(action, **params, **filled, reason="x")).status_code == 200
    assert not AuditEntry.objects.exists()
