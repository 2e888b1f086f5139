"""People of the sockets' tests."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import keys
from providers import control


@pytest.fixture(autouse=True)
def _providers(transactional_db: None, settings: Any) -> None:
    settings.AI_DISPATCHER = False
    settings.ALLOWED_HOSTS = ["testserver"]
    control.ensure_providers(clock.now())


@pytest.fixture
def bearer(alice: User) -> list[tuple[bytes, bytes]]:
    """Return the headers of alice's key."""
    return [(b"authorization", f"Bearer {keys.create(alice, 'test')[1]}".encode())]


@pytest.fixture
def cookie(alice: User) -> list[tuple[bytes, bytes]]:
    """Return the headers of alice's session."""
    browser = Client()
    browser.force_login(alice)
    return [(b"cookie", f"sessionid={browser.cookies['sessionid'].value}".encode())]
