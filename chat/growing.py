"""
An answer's HTML while it is being written, at a cost that does not grow with what is already there.

Markdown is settled block by block: a line that is added can change the last block only. So the blocks before it are
rendered once, and only the last is rendered again and again. What still differs from the whole (a link whose target is
named later, say) is put right when the answer is complete.
"""

from typing import Any, NamedTuple

from chat.render import LONGEST_RENDERED, parse, render_tokens


class Growth(NamedTuple):
    """Keep the first `keep` elements and put `html` behind them, in place of whatever is there."""

    keep: int
    html: str


class Growing:
    """One answer that is being written."""

    def __init__(self) -> None:
        self._open = ""
        self._half_end = ""
        self._settled = 0
        self._env: dict[str, Any] = {}

    def add(self, text: str) -> None:
        """Put text at the end; every kind of line end becomes a newline, as the parser has it."""
        text = self._half_end + text
        self._half_end = "\r" if text.endswith("\r") else ""
        self._open += text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")

    def take(self) -> Growth:
        """Return how to bring what was shown before up to date."""
        keep = self._settled
        self._env.pop("colouring", None)
        source = self._open[:LONGEST_RENDERED]
        tokens = parse(source, self._env)
        starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
        if len(starts) > 1:
            settled_lines = source.split("\n")[: starts[-1]]
            self._open = self._open[sum(len(line) + 1 for line in settled_lines) :]
            self._settled += len(starts) - 1
        return Growth(keep, render_tokens(tokens, self._env))
