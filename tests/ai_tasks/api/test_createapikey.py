"""manage.py createapikey."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.access.models import ApiKey

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("createapikey", *arguments, stdout=out)
    return out.getvalue()


def test_the_key_stands_alone_on_the_last_line(alice: User) -> None:
    output = run("alice", "--name", "laptop")

    key = keys.authenticate(output.splitlines()[-1], clock.now())
    assert key is not None
    assert (key.owner, key.name, key.scopes, key.expires_at) == (alice, "laptop", ["tasks", "chat", "operations"], None)


def test_a_key_can_be_bounded(alice: User) -> None:
    output = run("alice", "--expires-days", "7", "--scope", "chat", "--priority-ceiling", "low")

    text = output.splitlines()[-1]
    key = ApiKey.objects.get()
    assert (key.scopes, key.priority_ceiling) == (["chat"], 3)
    assert keys.authenticate(text, clock.now() + timedelta(days=6)) is not None
    assert keys.authenticate(text, clock.now() + timedelta(days=7)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody",),
        ("alice", "--expires-days", "0"),
        ("alice", "--expires-days", "99999999999"),
        ("alice", "--scope", "x"),
    ],
)
def test_what_cannot_be_made_is_said(alice: User, arguments: Any) -> None:
    with pytest.raises(CommandError):
        run(*arguments)

    assert not ApiKey.objects.exists()


def test_an_inactive_user_gets_no_key(alice: User) -> None:
    User.objects.update(is_active=False)

    with pytest.raises(CommandError, match="not active"):
        run("alice")
