"""docs/providers.md says what is so."""

import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from config.settings import BASE_DIR
from providers import errors, registry
from providers.adapters.simulator_script import FAILS, Script

PAGE = (BASE_DIR / "docs" / "providers.md").read_text(encoding="utf-8")


def kinds(root: type[errors.ProviderError]) -> Iterator[type[errors.ProviderError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


KINDS = list(kinds(errors.ProviderError))


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_the_table_of_errors_is_the_code_s(kind: type[errors.ProviderError]) -> None:
    again, onward, used = ("yes" if flag else "no" for flag in (kind.retryable, kind.falls_back, kind.used_up))
    circuit = f"{kind.blames}'s, {kind.opens}" if kind.blames else "no"
    words = " | ".join((again, onward, circuit, used))

    assert f"| `{kind.code}` | {words} |\n" in section("What errors do")


def test_it_lists_every_error_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("What errors do"), re.MULTILINE)

    assert rows == [kind.code for kind in KINDS]


def test_it_names_every_adapter_and_every_option() -> None:
    said = section("What each adapter can do")

    assert all(f"`{name}`" in said for name in registry.ADAPTERS)
    assert all(f"`{option}`" in said for adapter in registry.ADAPTERS.values() for option in adapter.OPTIONS)


def test_it_names_all_that_a_script_may_say() -> None:
    said = section("The simulator")

    assert all(f"`{field.name}`" in said for field in fields(Script))
    assert all(f"`{fail}`" in said for fail in FAILS)
