r"""
Formulas as MathML: `$x$` and `\(x\)` in a line, `$$x$$` and `\[x\]` on their own.

A dollar beside a digit or a blank is money, not mathematics. What is no LaTeX is shown as it is.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from mdit_py_plugins.dollarmath import dollarmath_plugin

from chat.highlight import escape

LONGEST_FORMULA = 2_000
"""Characters; the converter is recursive."""
MOST_LINES = 60
"""Of a formula; each line that begins one is looked at so far."""
ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|align\*?|gathered|gather\*?|split|equation\*?)\}")
SIMILAR = re.compile(r"\\sim(?![a-zA-Z])")
TAGS = {"math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "ms", "mspace"}
TAGS |= {"msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover"}
ATTRIBUTES = {
    "math": {"display"},
    "menclose": {"notation"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mo": {"fence", "form", "largeop", "maxsize", "minsize", "movablelimits", "separator", "stretchy"},
    "mover": {"accent"},
    "mspace": {"linebreak", "width"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mtable": {"columnalign", "columnspacing", "displaystyle", "rowspacing"},
    "mtd": {"columnalign"},
    "munder": {"accentunder"},
}
CLASSES = {"math", "inline", "block"}


def enable(parser: MarkdownIt) -> None:
    """Teach the parser to find formulas."""
    parser.use(
        dollarmath_plugin,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,
        allow_blank_lines=False,
        double_inline=True,
    )
    parser.inline.ruler.before("escape", "math_round", _between(r"\(", r"\)", "math_inline"))
    parser.inline.ruler.before("escape", "math_square", _between(r"\[", r"\]", "math_inline_double"))
    parser.block.ruler.before("fence", "math_square_block", _square_block, {"alt": ["paragraph", "blockquote", "list"]})


def _between(opening: str, closing: str, kind: str) -> Callable[[StateInline, bool], bool]:
    """Return a rule that finds a formula between two marks."""

    def rule(state: StateInline, silent: bool) -> bool:
        if not state.src.startswith(opening, state.pos):
            return False
        start = state.pos + len(opening)
        end = state.src.find(closing, start, start + LONGEST_FORMULA)
        if end < 0 or not state.src[start:end].strip():
            return False
        if not silent:
            state.push(kind, "math", 0).content = state.src[start:end]
        state.pos = end + len(closing)
        return True

    return rule


def _square_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    r"""Find `\[` that begins a line and `\]` that ends this or a later one, without a blank line between."""
    lines: list[str] = []
    for line in range(first, min(last, first + MOST_LINES)):
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip())
        if not lines[0].startswith(r"\[") or not lines[-1] or state.sCount[line] < state.blkIndent:
            return False
        if lines[-1].endswith(r"\]"):
            break
    else:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content = "\n".join(lines)[2:-2]
        token.map = [first, line + 1]
    state.line = line + 1
    return True


def math_html(token: Any, *, is_block: bool, tag: str = "span") -> str:
    """Return a formula's element; its source where it is no LaTeX."""
    kind = "block" if is_block else "inline"
    return f'<{tag} class="math {kind}">{_mathml(str(token.content).strip(), kind)}</{tag}>'


@lru_cache(maxsize=512)
def _mathml(source: str, display: str) -> str:
    """Return the formula as MathML, not yet sanitised: the converter escapes nothing."""
    if len(source) > LONGEST_FORMULA:
        return f"<code>{escape(source)}</code>"
    known = SIMILAR.sub("\N{TILDE OPERATOR}", ALIGNED.sub(_as_array, source))
    try:
        found: str = convert(known, display=display)
    except Exception:  # It raises a dozen kinds of its own, StopIteration and IndexError.
        return f"<code>{escape(source)}</code>"
    return found.replace("<mi>\N{TILDE OPERATOR}</mi>", "<mo>\N{TILDE OPERATOR}</mo>")


def _as_array(found: re.Match[str]) -> str:
    return r"\begin{array}{rl}" if found[1] == "begin" else r"\end{array}"
