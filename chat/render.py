"""Answers as HTML: Markdown without raw HTML and without images, then sanitised against an allow-list."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from chat import formulas, highlight
from chat.highlight import Colouring, escape

LONGEST_RENDERED = 400_000
"""Characters; what is longer is shown as plain text, since parsing must stay cheap."""
LONGEST_REMEMBERED = 20_000
"""Characters up to which a text's HTML is kept for the next reader: a page and its socket both ask."""
DEEPEST = 40
"""Nested quotes and lists."""

TAGS = {"a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p"}
TAGS |= {"pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
TAGS |= formulas.TAGS
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}} | formulas.ATTRIBUTES
CLASSES = {
    "code": {"code-text"},
    "div": {"code", "code-head", "table"} | formulas.CLASSES,
    "span": {"code-language"} | highlight.CLASSES | formulas.CLASSES,
    "td": {"align-left", "align-center", "align-right"},
    "th": {"align-left", "align-center", "align-right"},
}
URL_SCHEMES = {"http", "https", "mailto"}


class _Renderer(RendererHTML):
    """Code gets a head line, tables a box that scrolls, cells a class: the page's policy bars style attributes."""

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Return a fenced block with its language."""
        words = tokens[index].info.split(maxsplit=1)
        language = words[0] if words else ""
        colouring = env.setdefault("colouring", Colouring())
        return _code_block(colouring.highlighted(tokens[index].content, language), language)

    def code_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Return an indented block."""
        return _code_block(escape(tokens[index].content))

    def table_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Open the box and the table."""
        return '<div class="table"><table>'

    def table_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Close both."""
        return "</table></div>"

    def td_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Open a cell."""
        return _cell(tokens[index])

    def th_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Open a head cell."""
        return _cell(tokens[index])

    def math_inline(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Return a formula in a line."""
        return formulas.math_html(tokens[index], is_block=False)

    def math_inline_double(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Return a large formula inside a paragraph."""
        return formulas.math_html(tokens[index], is_block=True)

    def math_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Return a large formula on its own."""
        return formulas.math_html(tokens[index], is_block=True, tag="div")


def _cell(token: Token) -> str:
    align = str(token.attrGet("style") or "").removeprefix("text-align:")
    return f'<{token.tag} class="align-{align}">' if align else f"<{token.tag}>"


def _code_block(html: str, language: str = "") -> str:
    head = f'<div class="code-head"><span class="code-language">{escape(language[:40])}</span></div>'
    return f'<div class="code">{head}<pre><code class="code-text">{html}</code></pre></div>\n'


@cache
def _markdown() -> MarkdownIt:
    options = {"html": False, "linkify": False, "maxNesting": DEEPEST}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer)
    formulas.enable(parser)
    for name in ("math_inline", "math_inline_double", "math_block"):
        parser.add_render_rule(name, getattr(_Renderer, name))
    return parser.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        attributes=ATTRIBUTES,
        allowed_classes=CLASSES,
        url_schemes=URL_SCHEMES,
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
    )


def to_html(text: str) -> str:
    """Return the Markdown text as HTML that is safe to put into a page; nothing in it loads or runs by itself."""
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _rendered(text)


@lru_cache(maxsize=256)
def _remembered(text: str) -> str:
    return _rendered(text)


def _rendered(text: str) -> str:
    if len(text) > LONGEST_RENDERED:
        return f'<div class="code"><pre tabindex="0"><code class="code-text">{escape(text)}</code></pre></div>'
    env: dict[str, Any] = {}
    return render_tokens(parse(text, env), env)


def parse(text: str, env: dict[str, Any]) -> list[Token]:
    """Return the text's tokens; `env` keeps what later texts of the same document may refer to."""
    return _markdown().parse(text, env)


def render_tokens(tokens: Sequence[Token], env: dict[str, Any]) -> str:
    """Return tokens as safe HTML."""
    parser = _markdown()
    return _cleaner().clean(parser.renderer.render(tokens, parser.options, env))
