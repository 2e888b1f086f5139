"""POST /api/v1/ws-tickets."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import tickets
from ai_tasks.access.models import ApiKey, WebSocketTicket

pytestmark = pytest.mark.django_db


def test_a_ticket_is_good_once(client: Client, alice: User, headers: dict[str, str]) -> None:
    response = client.post("/api/v1/ws-tickets", headers=headers)

    ticket = response.json()["ticket"]
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    assert ticket not in str(WebSocketTicket.objects.values().get())
    used = tickets.redeem(ticket, clock.now())
    assert used is not None
    assert (used.owner, used.api_key) == (alice, ApiKey.objects.get())
    assert tickets.redeem(ticket, clock.now()) is None


def test_a_ticket_is_good_for_thirty_seconds(alice: User) -> None:
    now = clock.now()
    ticket = tickets.issue(alice, now)

    assert tickets.redeem(ticket, now + timedelta(seconds=30)) is None
    assert tickets.redeem(ticket, now + timedelta(seconds=29)) is not None


def test_a_ticket_has_the_scopes_of_the_key_that_asked(client: Client, alice: User, key_of: Any) -> None:
    headers = {"Authorization": f"Bearer {key_of(alice, scopes=['chat'])}"}

    ticket = client.post("/api/v1/ws-tickets", headers=headers).json()["ticket"]

    used = tickets.redeem(ticket, clock.now())
    assert used is not None
    assert used.scopes == ["chat"]


def test_the_ticket_of_a_user_who_was_shut_out_is_worthless(alice: User) -> None:
    ticket = tickets.issue(alice, clock.now())
    User.objects.update(is_active=False)

    assert tickets.redeem(ticket, clock.now()) is None


@pytest.mark.parametrize("ticket", ["", "wst_", "wst_" + "x" * 43, "x" * 10_000, "wst_\x00"])
def test_garbage_is_no_ticket(alice: User, ticket: str) -> None:
    assert tickets.redeem(ticket, clock.now()) is None


def test_without_a_key_there_is_no_ticket(client: Client, assert_problem: Any) -> None:
    assert_problem(client.post("/api/v1/ws-tickets"), 401, "not_authenticated")
    assert not WebSocketTicket.objects.exists()
