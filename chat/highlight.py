"""Code with its words in classes, which the page's stylesheet colours."""

import re
import time
from functools import cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType

LONGEST_HIGHLIGHTED = 20_000
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
CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name)


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


def highlighted(text: str, language: str, *, until: float) -> str:
    """
    Return the code as HTML that shows every character of it, coloured by class where the language is known.

    `until`, in monotonic seconds, is looked at between two words: what is not done by then is shown in one colour, as
    some lexers take a minute over a few thousand characters that were made for that.
    """
    name = language.lower()
    if name not in KNOWN or len(text) > LONGEST_HIGHLIGHTED or HOSTILE.search(text):
        return escape(text)
    parts: list[tuple[str, list[str]]] = []
    for kind, word in _lexer(name).get_tokens(text):
        if time.monotonic() > until:
            return escape(text)
        css = _class_of(kind)
        if not parts or parts[-1][0] != css:
            parts.append((css, []))
        parts[-1][1].append(word)
    return "".join(_span(css, escape("".join(words))) for css, words in parts)


def _span(css: str, html: str) -> str:
    return f'<span class="{css}">{html}</span>' if css else html
