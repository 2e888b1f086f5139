"""AI_PROVIDERS_FILE: what is written there is in force without a restart; what is wrong there is not."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import providers
from providers import registry

ONE = {"one": {"adapter": "simulator"}}
TWO = {**ONE, "two": {"adapter": "simulator"}}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the environment names."""
    path = tmp_path / "providers.json"
    path.write_text(json.dumps(ONE), encoding="utf-8")
    monkeypatch.delenv("AI_PROVIDERS", raising=False)
    monkeypatch.setenv("AI_PROVIDERS_FILE", str(path))
    return path


def follow(path: Path) -> providers.Watched:
    """Follow the file, with a look at every question."""
    return providers.Watched(path, look_every_seconds=0)


def write(path: Path, text: str) -> None:
    """Replace the file as a deployment would: at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def test_a_provider_that_is_added_to_the_file_is_there(file: Path, settings: Any) -> None:
    settings.AI_PROVIDERS = follow(file)
    assert "two" not in registry.adapters()

    write(file, json.dumps(TWO))

    assert {"one", "two"} <= set(registry.adapters())
    assert registry.adapter("one") is registry.adapter("one")


def test_one_that_is_taken_out_is_gone(file: Path) -> None:
    found = follow(file)

    write(file, "{}")

    assert "one" not in found
    assert len(found) == len(list(found))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"two": {"adapter": "nobody"}}', '{"Two!": {"adapter": "simulator"}}', '{"two": 1}']
)
def test_a_version_that_is_wrong_changes_nothing_and_is_told(file: Path, text: str, caplog: Any) -> None:
    found = follow(file)

    write(file, text)

    with caplog.at_level(logging.ERROR, logger="config.providers"):
        assert "one" in found
    assert "is not in force" in caplog.text
    write(file, json.dumps(TWO))
    assert "two" in found


def test_a_file_that_vanishes_changes_nothing(file: Path) -> None:
    found = follow(file)

    file.unlink()

    assert "one" in found


def test_a_file_that_is_wrong_at_the_start_stops_it(file: Path) -> None:
    file.write_text("{", encoding="utf-8")

    with pytest.raises(ImproperlyConfigured):
        providers.settings()


def test_the_environment_says_which_file(file: Path) -> None:
    assert dict(providers.settings())["one"] == ONE["one"]


def test_without_a_file_the_settings_are_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AI_PROVIDERS_FILE", raising=False)
    monkeypatch.setenv("AI_PROVIDERS", json.dumps(ONE))

    assert isinstance(providers.settings(), dict)
