"""The documents name what there is, and all of it; their links lead somewhere."""

import inspect
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from ai_tasks.api import problems
from ai_tasks.webhooks import events
from config.celery import app
from config.providers import SHORTHANDS
from config.settings import BASE_DIR
from tests import screenshots
from tests.realtime import TYPES

PAGES = [*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").glob("**/*.md")]
TEXTS = {page.relative_to(BASE_DIR).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
OURS = ("config", "chat", "ai_tasks", "queueing", "providers")
SOURCES = [source for app in OURS for source in (BASE_DIR / app).rglob("*.py")]
SOURCE = "\n".join(source.read_text(encoding="utf-8") for source in [*SOURCES, BASE_DIR / "Makefile"])
NEVER_SET = {"TASUKI_CRASH_AT", "TASUKI_CHAOS_PORTS", "DJANGO_SETTINGS_MODULE"}
"""Read by processes that tests and chaos start; the last is Django's."""


def cells(page: str, section: str, column: int = 1) -> list[str]:
    """Return what stands in backticks in that column of the section's tables."""
    body = re.split(r"^## ", TEXTS[page].split(f"## {section}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.split("|")[column] for line in body.splitlines() if line.startswith("| ")]
    return [name for cell in rows for name in re.findall(r"`([^`]+)`", cell)]


def variables() -> set[str]:
    """Return the environment variables that the code reads."""
    direct = set(re.findall(r'(?:\b(?:text|integer|boolean|words|choice)|os\.environ\.get)\(\s*"([A-Z_]+)"', SOURCE))
    return direct | {name for key, address, _ in SHORTHANDS.values() for name in (key, address)}


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_settings_page_lists_every_variable_and_no_other() -> None:
    sections = ("Where it runs", "The web", "Providers", "The engine", "What is kept", "Mail, logs, traces")
    listed = [name for section in sections for name in cells("docs/settings.md", section)]

    assert len(listed) == len(set(listed))
    assert set(listed) == variables() - NEVER_SET


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_whatever_looks_like_a_setting_is_one_in_the_code(page: str) -> None:
    words = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", TEXTS[page])) - {"NAME_FILE"}

    assert not {word for word in words if word not in SOURCE and word.removesuffix("_FILE") not in SOURCE}


def test_the_page_lists_every_command_and_no_other() -> None:
    ours = {name for name, app in get_commands().items() if app in OURS}

    assert sorted(cells("docs/settings.md", "Commands")) == sorted(ours)


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_every_command_that_a_page_names_exists(page: str) -> None:
    text = TEXTS[page]
    targets = set(re.findall(r"^([a-z-]+):", (BASE_DIR / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())
    assert set(re.findall(r"(?:`|^)(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_the_api_lists_every_error_code_and_no_other() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \|", TEXTS["docs/api.md"], re.MULTILINE)

    assert {code: int(status) for code, status in listed} == {
        code: kind.status for code, kind in problems.KINDS.items()
    }


def test_realtime_names_no_event_that_nobody_sends() -> None:
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)\{", TEXTS["docs/realtime.md"]))
    sent = {name for names in TYPES.values() for name in names}

    assert {name for name in named if f'"{name}"' not in SOURCE} == set()
    assert sent <= set(re.findall(r"`([a-z]+(?:\.[a-z_]+)?)\b", TEXTS["docs/realtime.md"]))


def test_webhooks_list_every_event_and_no_other() -> None:
    told = set(re.findall(r"^\| (`.*?`) \|", TEXTS["docs/webhooks.md"], re.MULTILINE))

    assert {name for cell in told for name in re.findall(r"`([a-z]+\.[a-z_]+)`", cell)} == {
        *events.TASK_EVENTS,
        *events.OPERATOR_EVENTS,
    }


def test_operations_lists_what_beat_does_and_nothing_else() -> None:
    listed = cells("docs/operations.md", "What beat does", 2)

    assert sorted(listed) == sorted(entry["task"] for entry in app.conf.beat_schedule.values())


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_its_python_is_python(page: str) -> None:
    for code in re.findall(r"^```python\n(.*?)^```", TEXTS[page], re.MULTILINE | re.DOTALL):
        compile(code, page, "exec")


def test_no_page_stands_alone() -> None:
    names = {page: Path(page).name for page in TEXTS if re.fullmatch(r"docs/\w+\.md", page)}
    others = {page: "".join(text for other, text in TEXTS.items() if other != page) for page in names}

    assert {page for page, name in names.items() if name not in others[page]} == set()


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_every_link_leads_somewhere(page: str) -> None:
    place = (BASE_DIR / page).parent
    prose = re.sub(r"^```.*?^```", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found: Path = (place / path).resolve() if path else BASE_DIR / page
        if not found.exists() or (anchor and anchor not in anchors(found.read_text(encoding="utf-8"))):
            broken.append(target)

    assert not broken


@pytest.mark.parametrize(("page", "language"), [("README.md", "en"), ("README.ja.md", "ja")])
def test_the_readme_shows_the_pictures_that_make_screenshots_takes(page: str, language: str) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(docs/images/([^)]+)\)", TEXTS[page])

    assert shown == [f"{name}-{language}.png" for name in screenshots.README]
    assert set(re.findall(r'take\("([^"]+)"', inspect.getsource(screenshots.take_readme))) == set(screenshots.README)


def test_every_picture_is_shown_and_all_are_small() -> None:
    pictures = {picture.name: picture.stat().st_size for picture in screenshots.IMAGES.iterdir()}

    assert set(pictures) == {f"{name}-{language}.png" for name in screenshots.README for language in ("en", "ja")}
    assert sum(pictures.values()) < 1_000_000


def test_both_readmes_lead_to_the_same_places() -> None:
    told = [
        set(re.findall(r"\]\(((?:docs|CONTRIBUTING)[^)]*)\)", TEXTS[page])) for page in ("README.md", "README.ja.md")
    ]
    english, japanese = [{place for place in places if "/images/" not in place} for places in told]

    assert english == japanese
