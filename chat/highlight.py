"""Code with its words in classes, which the page's stylesheet colours."""

import re
import time
from functools import cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType

LONGEST_HIGHLIGHTED = 12_000
"""Characters; longer code is shown in one colour."""
LANGUAGES = """
bash c c# c++ cpp cs csharp css diff docker dockerfile go golang graphql haskell html ini java javascript js json jsx
kotlin lua make makefile markdown md nginx objective-c perl php powershell proto protobuf ps1 py python r rb rs ruby
rust scala sh shell sql swift tex toml ts tsx typescript xml yaml yml zsh
"""
KNOWN = frozenset(LANGUAGES.split())
"""Only these are asked of Pygments."""
HOSTILE = re.compile(r"[^\n]{401}|(?:[ \t]*\n){12}")
"""Very long lines and fields of blank ones: over them many lexers are quadratic within one word."""
LINES, GROUP = 40, "lines"
"""So many lines of long code are laid out together; the class of such a group."""
CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name) | {GROUP}


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _class_of(kind: _TokenType) -> str:
    """Return the class of the nearest kind that has one."""
    return next(name for each in reversed(kind.split()) if (name := STANDARD_TYPES.get(each)) is not None)


def escape(text: str) -> str:
    """Return the text as HTML that shows it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


class Colouring:
    """Colours the code of one text, for at most so many seconds: then what is left stays in one colour."""

    def __init__(self, seconds: float = 0.5) -> None:
        self._seconds = seconds

    def highlighted(self, text: str, language: str) -> str:
        """
        Return code as HTML that shows every character of it, coloured by class where the language is known.

        The time is looked at between two words: some lexers take a minute over a few thousand characters that were
        made for that.
        """
        name = language.lower()
        if name not in KNOWN or len(text) > LONGEST_HIGHLIGHTED or HOSTILE.search(text):
            return _in_groups(escape(text))
        lexer, began = _lexer(name), time.monotonic()
        parts = self._words(lexer, text, began + self._seconds)
        self._seconds -= time.monotonic() - began
        return _in_groups(escape(text) if parts is None else "".join(_span(css, words) for css, words in parts))

    def _words(self, lexer: Lexer, text: str, until: float) -> list[tuple[str, str]] | None:
        """Return the words with their classes, neighbours of one class joined, none across lines; None: not in time."""
        parts: list[tuple[str, str]] = []
        for kind, word in lexer.get_tokens(text):
            if time.monotonic() > until:
                return None
            css = _class_of(kind)
            for piece in word.splitlines(keepends=True):
                if parts and parts[-1][0] == css and not parts[-1][1].endswith("\n"):
                    parts[-1] = (css, parts[-1][1] + piece)
                else:
                    parts.append((css, piece))
        return parts


def _span(css: str, word: str) -> str:
    """Return the word in its class; the end of its line stays outside."""
    line = word.removesuffix("\n")
    html = f'<span class="{css}">{escape(line)}</span>' if css and line else escape(line)
    return html + word[len(line) :]


def _in_groups(html: str) -> str:
    """Return the lines of long code in groups, of which a browser lays out those that are to be seen."""
    lines = html.split("\n")
    if len(lines) <= 2 * LINES:
        return html
    groups = ("\n".join(lines[place : place + LINES]) for place in range(0, len(lines), LINES))
    return "".join(f'<span class="{GROUP}">{group}\n</span>' for group in groups).removesuffix("\n</span>") + "</span>"
