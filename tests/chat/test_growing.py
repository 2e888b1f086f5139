"""An answer's HTML while it is written: in whichever pieces it comes, it ends as the whole would look."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.growing import Growing
from chat.render import to_html
from tests.chat.test_render import HOSTILE, check_is_harmless

EVERYTHING = """# Head

Para with **bold**,
soft break and `code`.

- loose

- list
  1. nested
     > quoted

```python
def f(x):


    return x
```

| a | b |
|--:|---|
| 1 | 2 |
***
Setext
------

    indented

    code

> quote
lazy

$$
x = \\frac{1}{2}
$$

\\[
y
\\]

1. one
2. two

The [end].

[end]: https://a.example/
"""
ELEMENT = re.compile(r"<(/?)([a-z][a-z0-9]*)[^>]*>")


def elements_of(html: str) -> list[str]:
    """Return the outermost elements, as a browser would take them apart."""
    found: list[str] = []
    depth = start = 0
    for tag in ELEMENT.finditer(html):
        start = tag.start() if depth == 0 else start
        depth += -1 if tag[1] else 0 if tag[2] in ("hr", "br") else 1
        if depth == 0:
            found.append(html[start : tag.end()])
    return found


def shown_after(pieces: list[str]) -> list[str]:
    growing = Growing()
    shown: list[str] = []
    for piece in pieces:
        growing.add(piece)
        growth = growing.take()
        shown[growth.keep :] = elements_of(growth.html)
    return shown


def cut(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 1_000])
def test_it_ends_as_the_whole_looks(size: int) -> None:
    text = EVERYTHING.replace("The [end].", "The end.")

    assert shown_after(cut(text, size)) == elements_of(to_html(text))


@pytest.mark.parametrize("size", [1, 3])
def test_every_kind_of_line_end_counts_once(size: int) -> None:
    text = EVERYTHING.replace("The [end].", "The end.").replace("\n", "\r\n")

    assert shown_after(cut(text, size)) == elements_of(to_html(text))


def test_a_link_knows_targets_that_were_named_in_settled_blocks() -> None:
    shown = shown_after(["[a]: https://a.example/\n\nText.\n\n", "See [a]."])

    assert 'href="https://a.example/"' in shown[-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_active_comes_out_of_hostile_input_wherever_it_is_cut(text: str) -> None:
    for size in (1, 4, 9):
        growing = Growing()
        for piece in cut(f"before\n\n{text}\n\nafter {text}", size):
            growing.add(piece)
            check_is_harmless(growing.take().html)


@given(st.lists(st.text(alphabet="ab \n\t*_`#>-|$\\[]()<&1.=~", max_size=12), max_size=25))
def test_it_never_keeps_more_than_it_has_shown(pieces: list[str]) -> None:
    growing, count = Growing(), 0

    for piece in pieces:
        growing.add(piece)
        growth = growing.take()
        assert growth.keep <= count
        count = growth.keep + len(elements_of(growth.html))


def test_a_picture_costs_as_much_at_the_end_as_at_the_beginning() -> None:
    growing = Growing()
    text = "Some words of *an answer* that goes on.\n\n" * 1_000
    took: list[float] = []

    for piece in cut(text, 200):
        began = time.thread_time()
        growing.add(piece)
        growing.take()
        took.append(time.thread_time() - began)

    fifth = len(took) // 5
    assert sum(took[-fifth:]) < 3 * sum(took[:fifth]) + 0.05
