"""Who may call."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.access.models import ApiKey

pytestmark = pytest.mark.django_db


def listed(client: Client, text: str) -> Any:
    return client.get("/api/v1/tasks", headers={"Authorization": text})


def test_a_key_opens_the_api(client: Client, alice: User, key_of: Any) -> None:
    assert listed(client, f"Bearer {key_of(alice)}").status_code == 200


def test_the_scheme_may_be_written_in_any_case(client: Client, alice: User, key_of: Any) -> None:
    assert listed(client, f"bearer  {key_of(alice)} ").status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer tsk_" + "x" * 43,
        "Bearer tsk_" + "x" * 44,
        "Bearer " + "x" * 50_000,
        "Bearer tsk_\u00e9",
        "Basic YWxpY2U6YWxpY2U=",
        "tsk_" + "x" * 43,
    ],
)
def test_no_key_or_a_wrong_one_is_401(client: Client, alice: User, assert_problem: Any, text: str) -> None:
    response = listed(client, text)

    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_wrong_key_is_not_helped_by_a_session(client: Client, alice: User, assert_problem: Any) -> None:
    client.force_login(alice)

    assert_problem(listed(client, "Bearer tsk_" + "x" * 43), 401, "not_authenticated")


def test_a_revoked_key_is_401(client: Client, alice: User, key_of: Any, assert_problem: Any) -> None:
    text = key_of(alice)
    ApiKey.objects.update(revoked_at=clock.now())

    assert_problem(listed(client, f"Bearer {text}"), 401, "not_authenticated")


def test_an_expired_key_is_401(client: Client, alice: User, key_of: Any, assert_problem: Any) -> None:
    text = key_of(alice, expires_at=clock.now() - timedelta(seconds=1))

    assert_problem(listed(client, f"Bearer {text}"), 401, "not_authenticated")


def test_the_key_of_an_inactive_user_is_401(client: Client, alice: User, key_of: Any, assert_problem: Any) -> None:
    text = key_of(alice)
    User.objects.update(is_active=False)

    assert_problem(listed(client, f"Bearer {text}"), 401, "not_authenticated")


def test_a_key_without_the_scope_is_403(client: Client, alice: User, key_of: Any, assert_problem: Any) -> None:
    assert_problem(listed(client, f"Bearer {key_of(alice, scopes=['chat'])}"), 403, "permission_denied")


def test_a_session_opens_the_api(client: Client, alice: User) -> None:
    client.force_login(alice)

    assert client.get("/api/v1/tasks").status_code == 200


def test_only_the_digest_of_a_key_is_stored(alice: User) -> None:
    key, text = keys.create(alice, "laptop")

    assert text.startswith("tsk_")
    assert len(text) == 47
    assert text.startswith(key.prefix)
    assert text not in str(ApiKey.objects.values().get())


def test_its_use_is_noted_at_most_once_a_minute(alice: User) -> None:
    key, text = keys.create(alice, "laptop")
    now = clock.now()

    keys.authenticate(text, now)
    keys.authenticate(text, now + timedelta(seconds=59))
    soon = ApiKey.objects.get(pk=key.pk).last_used_at
    keys.authenticate(text, now + timedelta(seconds=60))
    later = ApiKey.objects.get(pk=key.pk).last_used_at

    assert soon == now
    assert later == now + timedelta(seconds=60)


def test_recognising_a_key_takes_one_query(alice: User, django_assert_num_queries: Any) -> None:
    _, text = keys.create(alice, "laptop")
    now = clock.now()
    keys.authenticate(text, now)

    with django_assert_num_queries(1):
        keys.authenticate(text, now)
