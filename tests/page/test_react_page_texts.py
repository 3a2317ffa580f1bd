"""What is written stands on the chat page, in a real Chromium: formulas, prices, tags; no text vanishes."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from llmstream.demo_ollama import DemoOllama
from tests.support.page import QUESTION, Pages, site

# Markdown, and what a person sees of it.
SEEN = {
    "Write <your-name> here.": "Write <your-name> here.",
    "A Vec<String> and a Map<K, V>": "A Vec<String> and a Map<K, V>",
    "Vec<String>\nalone": "Vec<String> alone",
    "<style>": "<style>",
    "<style>\nb {}\n\nafter **it**": "<style> b {}\nafter it",
    "<!-- x --> and <!-- y\nz -->": "<!-- x --> and <!-- y z -->",
    "<div>\n\ninside\n\n</div>": "<div>\ninside\n</div>",
    "<details><summary>More</summary>text</details>": "<details><summary>More</summary>text</details>",
    "<script>x</script> <b>bold</b> <br/> <?php ?> <![CDATA[x]]>": (
        "<script>x</script> <b>bold</b> <br/> <?php ?> <![CDATA[x]]>"
    ),
    "`&lt;` costs $5 and `$x$` costs $10": "&lt; costs $5 and $x$ costs $10",
    "&lt;p&gt; &amp; &copy; AT&T": "<p> & © AT&T",
    "It costs $5 and $10, or $5-$10.": "It costs $5 and $10, or $5-$10.",
    "[ref] and [^1]\n\n[ref]: https://example.com/ 'Title'\n\n[^1]: The note.": (
        "ref and [^1]\n[ref]: https://example.com/ 'Title'\n[^1]: The note."
    ),
    "$\\notacommand{$ stays": "$\\notacommand{$ stays",
    "$$ is twice a dollar": "$$ is twice a dollar",
    "if a < b and c > d, 1 <2": "if a < b and c > d, 1 <2",
    "a_b_c, 2 * 3 * 4, C:\\dir\\*.txt, \\<x>": "a_b_c, 2 * 3 * 4, C:\\dir*.txt, <x>",
    "![a picture](https://example.com/p.png)": "[image: a picture]",
    "| a | <b> |\n| - | - |\n| $1 | $2 |": "a\t<b>\n$1\t$2",
}
FORMULAS = (
    "$E = mc^2$ and \\(a_1\\) in a line, $x*y$ and $z*w$.\n\n$$\na\n- b\n$$\n\n\\[\nc\n\\]\n\n- $$d$$\n\nThe end."
)


def test_nothing_vanishes(pages: Pages, upstream: DemoOllama) -> None:
    """What a model wrote is there to read: tags, comments, references, prices, and what is no formula after all."""
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url)
        seen: dict[str, str] = {}
        for written in SEEN:
            upstream.answers[QUESTION] = written
            if seen:
                chat.button("New chat").click()
            chat.ask().ends()
            text = chat.answer.locator(".markdown").inner_text()
            seen[written] = re.sub(r"\n+", "\n", text).strip()
    assert seen == SEEN


def test_what_a_person_wrote_stands(pages: Pages, upstream: DemoOllama) -> None:
    """A question is shown as it was typed: tags, Markdown, line ends and all."""
    question = "Write <your-name> & `code`:\n\n# <style>\n  $x$ <!-- y -->"
    upstream.answers[question] = "Yes."
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url).ask(question).shows("Yes").ends()
        assert question == chat.page.get_by_role("article", name="Question").locator("p").inner_text()


def test_formulas_are_formulas(pages: Pages, upstream: DemoOllama) -> None:
    """Formulas between one dollar, two, or TeX's brackets are drawn by MathML, some on lines of their own."""
    upstream.answers[QUESTION] = FORMULAS
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url).ask().shows("The end.").ends()
        expect(chat.answer.locator("math")).to_have_count(7)
        expect(chat.answer.locator("math[display=block]")).to_have_count(3)
        assert "$" not in chat.answer.locator(".markdown").inner_text()
        assert upstream.answers[QUESTION] == chat.copied()
