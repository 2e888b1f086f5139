"""Signing in by a password: failures are bounded by name and address."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from ai_tasks import clock
from config import login

pytestmark = pytest.mark.django_db

PAGES = ("/login/", "/admin/login/")


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    cache.clear()


def tried(client: Client, page: str, name: str, password: str, **extra: Any) -> bool:
    """Try to sign in; True: it worked."""
    response = client.post(page, {"username": name, "password": password}, **extra)
    return bool(response.status_code == 302)


@pytest.mark.parametrize("page", PAGES)
def test_after_ten_failures_even_the_right_password_waits(client: Client, page: str) -> None:
    User.objects.create_superuser("carol", password="right horse")
    for _ in range(login.MOST_FAILURES):
        assert not tried(client, page, "carol", "wrong")

    response = client.post(page, {"username": "Carol", "password": "right horse"})

    assert response.status_code == 200
    assert b"Too many attempts. Try again in" in response.content


def test_it_is_over_after_a_while(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(login.MOST_FAILURES):
        tried(client, "/login/", "alice", "wrong")
    later = clock.now() + timedelta(seconds=2 * login.FAILURES_SECONDS)
    monkeypatch.setattr(clock, "now", lambda: later)

    assert tried(client, "/login/", "alice", "correct horse")


def test_others_and_other_addresses_do_not_wait(client: Client, alice: User, bob: User) -> None:
    for _ in range(login.MOST_FAILURES + 1):
        tried(client, "/login/", "alice", "wrong")

    assert tried(Client(), "/login/", "bob", "battery staple")
    assert tried(Client(), "/login/", "alice", "correct horse", REMOTE_ADDR="192.0.2.7")


def test_an_address_that_tries_many_names_waits_as_a_whole(client: Client, alice: User) -> None:
    for number in range(login.MOST_FAILURES_OF_AN_ADDRESS):
        tried(client, "/login/", f"name{number}", "wrong")

    assert not tried(client, "/login/", "alice", "correct horse")


def test_who_signs_in_rightly_never_waits(client: Client, alice: User) -> None:
    assert all(tried(Client(), "/login/", "alice", "correct horse") for _ in range(login.MOST_FAILURES + 5))
