"""Fixtures of the providers' tests."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from providers import control, gateway, pricing
from tests.providers import servers


@pytest.fixture(scope="session", autouse=True)
def _loop_ends() -> Iterator[None]:
    yield
    gateway.stop(5)


@pytest.fixture(autouse=True)
def _prices_are_read_anew() -> None:
    pricing.forget()


@pytest.fixture
def now() -> datetime:
    """Return a moment."""
    return datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.fixture
def ensured(db: None, now: datetime) -> None:
    """Make the rows of the configured providers."""
    control.ensure_providers(now)


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    """Return where the served simulator keeps its books."""
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def simulator_url(ledger_path: Path) -> Iterator[str]:
    """Serve the simulator over HTTP."""
    with servers.simulator(ledger_path) as url:
        yield url


@pytest.fixture
def alice_ai(settings: Settings) -> Callable[..., None]:
    """Return a function that sets up the provider `alice-ai` at a URL, with options."""

    def set_up(base_url: str, *, adapter: str = "openai", key: str = "", **options: Any) -> None:
        values = {"adapter": adapter, "base_url": base_url, "key": key, "options": options}
        settings.AI_PROVIDERS = {"alice-ai": values}

    return set_up
