"""A model's Markdown, made harmless: whatever program shows it, nothing in it becomes HTML or loads an image."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmstream.view.markdown import escape_lines, fenced, inert_markdown
from tests.support.hard_texts import HARD_TEXTS, HardText

_LOOSE = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
# Markdown itself makes these, and nbconvert a link to a heading.
_TAGS = {
    *(
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "blockquote",
        "em",
        "strong",
        "a",
        "br",
    ),
    *("br", "hr", "del", "s", "table", "thead", "tbody", "tr", "th", "td", "div", "span"),
}
_ATTRIBUTES = {"href", "title", "class", "start", "id", "style", "align"}
DOLLAR = "<span>&#36;</span>"  # which no program takes for the beginning of a formula
EVIL = "<img src=x onerror=alert(1)>"
HOSTILE = [
    EVIL,
    f"a\n{EVIL}\n",
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "![x][r]\n\n[r]: http://evil.example/x.png",
    "!![x](http://evil.example/x.png)",
    f"```\n{EVIL}\n```\n{EVIL}",
    f"```a`b\n{EVIL}\n```",
    f"~~~\n```\n~~~\n{EVIL}\n```",
    f"- ```\n  {EVIL}\n{EVIL}\n",
    f"> ```\n{EVIL}",
    f"`a\n\n{EVIL}`",
    f"`a\n---\n{EVIL}`",
    f"\\``{EVIL}`",
    f"`` ` {EVIL}`",
    f"    {EVIL}",
    f"- a\n\n      {EVIL}",
    f"| `a | {EVIL}` |\n|---|---|\n| `b | {EVIL}` |",
    f"$`${EVIL}`$",
    f"$$\n{EVIL}\n$$",
    f"\\[ {EVIL} \\]",
    f"```\r{EVIL}\r```",
    f"```\u2028{EVIL}\u2028```",
    f"`a\x0b{EVIL}`",
    "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c]( data:text/html,x) [d](java&#115;cript:alert(1))",
    "[a](<javascript:alert(1)>)\n\n[b]\n\n[b]: javascript:alert(1)",
    "<javascript:alert(1)> <https://ok.example>",
    '[a](vbscript:x "title") [b](\\javascript:x) [c](javascript\\:x)',
    "[![x](http://evil.example/x.png)](http://ok.example)",
    "<!-- x --> <?php ?> <![CDATA[ x ]]> <!DOCTYPE html> </div>",
    f"<details>\n\n{EVIL}\n\n</details>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    f"[a]: {EVIL}",
    f"* ~~~\n* {EVIL}\n~~~",
    f"$$\n\n```\n$$\n{EVIL}\n```",
    f"$ \n```\n$ {EVIL}\n```",
    f"\\begin{{a}}\n```\n\\end{{a}}\n{EVIL}\n```",
]


class _Found(HTMLParser):
    """What is wrong with some HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            address = name == "href" and urlsplit(re.sub(r"[\x00-\x20]", "", value or "")).scheme
            if name not in _ATTRIBUTES or (address and address not in ("http", "https", "mailto")):
                self.wrong.append(f"{name}={value}")
        if tag not in _TAGS:
            self.wrong.append(tag)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(data)

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(decl)

    handle_pi = unknown_decl = handle_comment


def wrong_in(html: str) -> list[str]:
    """The elements, attributes and links that no harmless Markdown makes."""
    found = _Found()
    found.feed(html)
    found.close()
    return found.wrong


def as_nbconvert(markdown: str) -> str:
    """The HTML that nbconvert, which takes long to load, makes of it."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return str(markdown2html_mistune(markdown))


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_acts(text: str) -> None:
    """Shown by a program that lets HTML through, none of the model's gets there: nbconvert, and CommonMark."""
    inert = inert_markdown(text)
    assert [] == wrong_in(_LOOSE.render(inert))
    assert [] == wrong_in(as_nbconvert(inert))


_PIECES = st.sampled_from(
    [
        *("\\begin{a}", "\\end{a}", "`", "``", "```", "~~~", "\n", "\n\n", "\r", " ", "    ", "\t"),
        *("> ", "- ", "1. ", "| ", "|---|\n", "$", "$$", "\\", "\\(", "\\)", "\\[", "\\]", "[a]", "("),
        *(")", "[r]: ", "!", "javascript:", "http://e.example", EVIL, "<b>", "<!--", "a", "# ", "***"),
        *("---", "===", "&lt;", "<", ">", "html"),
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(_PIECES, max_size=24).map("".join))
def test_nothing_random_acts(text: str) -> None:
    """However backticks, fences, lists and math are mixed, programs that read them differently see no HTML."""
    inert = inert_markdown(text)
    assert [] == wrong_in(_LOOSE.render(inert))
    assert [] == wrong_in(as_nbconvert(inert))


@pytest.mark.parametrize(
    "text",
    [
        "Plain *emphasis*, **strong**, [a link](https://a.example/b_c), 5 > 3.",
        "`a < b` and ``x<y> ` z``",
        "```html\n<b>\n```",
        "1. Run:\n   ```bash\n   cat <file\n   ```\n2. Done",
        "> ```c++\n> #include <map>\n> ```",
        "| `a<b>` | c |\n|---|---|\n| d | e |",
        "# A heading\n\n- [x] done\n- [ ] not\n\n---\n",
        "$x$ and $$\ny\n$$",
    ],
)
def test_ordinary_markdown_is_left_alone(text: str) -> None:
    """Code keeps its angle brackets; nothing is escaped that need not be."""
    assert text == inert_markdown(text)


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("a <b> c", "a &lt;b> c"),
        ("![a chart](https://a.example/x.png)", "[a chart](https://a.example/x.png)"),
        ("[x](javascript:y)", "[x]\\(javascript:y)"),
        ("```python\nx = 1", "```python\nx = 1\n```"),
        ("~~~~\n~~~", "~~~~\n~~~\n~~~~"),
        (r"\[ a<b \] and \(c\)", r"$$ a\lt b $$ and $c$"),
        ("$5 < \\$6", f"{DOLLAR}5 &lt; {DOLLAR}6"),
        ("$5 and $10, `$A` $x$", f"{DOLLAR}5 and {DOLLAR}10, <code>&#36;A</code> $x$"),
        (r"\begin{a} $ \begin{b}x\end{b}", rf"&#92;begin{{a}} {DOLLAR} \begin{{b}}x\end{{b}}"),
        ("[a](https://a.example/$b)", "[a](https://a.example/%24b)"),
        ("- ```\n  $ <a>\n  ```\n- $x$", "- <pre><code>&#36; &#60;a&#62;&#10;</code></pre>\n- $x$"),
        ("a![0] ![b](c)", "a&#33;[0] [b](c)"),
        ("- [a]: https://a.example", "- &#91;a]: https://a.example"),
        ("a\r\nb\0", "a\nb\ufffd"),
    ],
)
def test_what_changes(text: str, inert: str) -> None:
    """HTML is text, an image a link, an open code block is closed, what is no formula has no dollars of one."""
    assert inert == inert_markdown(text)


class _Text(HTMLParser):
    """The text in some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


@pytest.mark.parametrize("text", HARD_TEXTS, ids=lambda text: text.name)
def test_every_word_can_be_read(text: HardText) -> None:
    """Nothing that a model wrote is lost in what nbconvert and CommonMark make of it."""
    inert = inert_markdown(text.text)
    for html in (_LOOSE.render(inert), as_nbconvert(inert)):
        assert [] == text.missing("".join(_Text(html).pieces))


ROWS = "| a | b |\n|---|---|\n| one | two | three | `x|y` |\n|five|\n\n| a |\n|---|\nsix | seven"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROWS, ["one", "two", "three", "x", "y", "five", "six", "seven"]),
        (f"> {ROWS.replace(chr(10), chr(10) + '> ')}", ["three", "x", "y", "seven"]),
        ("See ![](https://example.com/a.png) and [](https://example.com/b).", ["a.png", "/b"]),
    ],
)
def test_odd_rows_and_links_can_be_read(text: str, words: list[str]) -> None:
    """Cells behind the last column, and addresses without a text, are shown."""
    shown = "".join(_Text(_LOOSE.render(inert_markdown(text))).pieces)
    assert [] == [word for word in words if word not in shown]


def test_lines_are_shown_as_they_are() -> None:
    """Text in several lines becomes Markdown that shows it, without anything in it that Markdown would act on."""
    html = _LOOSE.render(escape_lines("# a\n\n    <b>\n```\n*c*"))
    assert "<p># a<br />\n\xa0<br />\n&lt;b&gt;<br />\n```<br />\n*c*</p>\n" == html


def test_fence_is_longer_than_what_is_in_it() -> None:
    """A value in a code block can't end it."""
    assert "````\na\n```\nb\n````\n\n" == fenced("a\n```\nb")
    assert '```json\n{\n  "a": 1\n}\n```\n\n' == fenced({"a": 1})
