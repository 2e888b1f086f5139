"""Django merges the applications' catalogs into one: they may not contradict each other."""

import gettext
from pathlib import Path

CATALOGS = sorted(Path(__file__).parent.parent.glob("*/locale/ja/LC_MESSAGES/django.mo"))


def test_catalogs_say_the_same_of_the_same() -> None:
    said: dict[object, dict[str, str]] = {}
    for path in CATALOGS:
        with path.open("rb") as file:
            for message, translation in gettext.GNUTranslations(file)._catalog.items():  # type: ignore[attr-defined]
                said.setdefault(message, {})[path.parts[-5]] = translation

    assert len(CATALOGS) == 5
    differing = {message: by for message, by in said.items() if message and len(set(by.values())) > 1}
    assert differing == {}
