"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import settings

from ai_tasks import clock, waiting
from config.programs import Standalone
from providers import control, gateway

# How long an example takes is the machine's affair, not the code's.
settings.register_profile("tasuki", deadline=None)
settings.load_profile("tasuki")


def pytest_configure() -> None:
    """Refuse to run on another database than the one that was asked for."""
    wanted = os.environ.get("TEST_ON", "sqlite")
    if connection.vendor != wanted:
        pytest.exit(f"The tests should run on {wanted}, but the settings name {connection.vendor}.", returncode=4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start whole installations, and browsers."""
    slow = {item.path for item in items if item.get_closest_marker("stack") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def alice(db: None) -> User:
    """A user."""
    return User.objects.create_user("alice", password="correct horse")


@pytest.fixture
def bob(db: None) -> User:
    """Another user, who owns nothing of alice's."""
    return User.objects.create_user("bob", password="battery staple")


@pytest.fixture
def providers_ready(db: None) -> None:
    """The providers' rows, as a start makes them."""
    control.ensure_providers(clock.now())


@pytest.fixture(autouse=True)
def _measured_anew() -> None:
    waiting.forget()


@pytest.fixture(scope="session", autouse=True)
def _close_calls() -> Iterator[None]:
    yield
    gateway.stop(5)


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """A real `manage.py standalone` of the whole session; it must end well."""
    folder: Path = tmp_path_factory.mktemp("standalone")
    server = Standalone(folder)
    server.start()
    yield server
    assert server.stop() == 0, server.output()[-3000:]
