"""The one-time login link."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import login_links

pytestmark = pytest.mark.django_db


def test_the_link_logs_in_once(alice: User) -> None:
    link = login_links.make_login_link(alice)
    first, second = Client(), Client()

    opened = first.get(link)
    again = second.get(link)

    assert (opened.status_code, opened["Location"]) == (302, "/")
    assert first.session["_auth_user_id"] == str(alice.pk)
    assert again["Location"].startswith("/login/")
    assert "_auth_user_id" not in second.session


def test_the_link_dies_with_another_login(client: Client, alice: User) -> None:
    link = login_links.make_login_link(alice)
    client.force_login(alice)

    assert Client().get(link)["Location"].startswith("/login/")


def test_the_link_dies_after_a_day(alice: User, settings: Any) -> None:
    link = login_links.make_login_link(alice)
    settings.PASSWORD_RESET_TIMEOUT = -1

    assert Client().get(link)["Location"].startswith("/login/")


def test_looking_at_the_head_does_not_use_the_link_up(client: Client, alice: User) -> None:
    link = login_links.make_login_link(alice)

    assert client.head(link).status_code == 405
    assert client.get(link)["Location"] == "/"


def test_of_two_at_once_one_wins(alice: User) -> None:
    _, _, _, uid, token, _ = login_links.make_login_link(alice).split("/")
    now = clock.now()

    results = [login_links.redeem(uid, token, now), login_links.redeem(uid, token, now + timedelta(seconds=1))]

    assert results == [alice, None]


@pytest.mark.parametrize("path", ["x/y", "MQ/x-y", "%F0/x", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5/x", "AAAA/x", "_/x"])
def test_garbage_leads_to_the_login_page(client: Client, alice: User, path: str) -> None:
    assert client.get(f"/login/once/{path}/")["Location"].startswith("/login/")


def test_the_link_of_an_inactive_user_is_worthless(client: Client, alice: User) -> None:
    link = login_links.make_login_link(alice)
    User.objects.update(is_active=False)

    assert client.get(link)["Location"].startswith("/login/")
