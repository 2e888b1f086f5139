"""Requests with a key pass over the middleware for browsers; requests without one do not."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db
BODY = '{"type": "text.generate", "input": {"prompt": "x"}}'


def test_a_key_counts_and_not_the_session_beside_it(alice: User, bob: User, key_of: Callable[..., str]) -> None:
    browser = Client()
    browser.force_login(bob)

    answer = browser.get(reverse("api:tasks"), headers={"authorization": f"Bearer {key_of(alice)}"})

    assert answer.status_code == 200
    assert "Cookie" not in answer.get("Vary", "")


def test_a_wrong_credential_does_not_fall_back_to_the_session(bob: User) -> None:
    browser = Client()
    browser.force_login(bob)

    for credential in ("Bearer tsk_wrong", "Basic Ym9iOng=", "", "x"):
        answer = browser.get(reverse("api:tasks"), headers={"authorization": credential})

        assert answer.status_code == 401, credential


def test_a_session_without_a_csrf_token_writes_nothing(bob: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)

    answer = browser.post(reverse("api:tasks"), BODY, content_type="application/json")

    assert answer.status_code == 403


def test_a_page_takes_no_notice_of_a_credential_header(bob: User) -> None:
    browser = Client()
    browser.force_login(bob)

    answer = browser.get("/", headers={"authorization": "Bearer tsk_wrong"}, follow=True)

    assert answer.status_code == 200
