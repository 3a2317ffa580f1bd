"""Hostile answers on the chat page, in a real Chromium: nothing in them runs, loads or leads to a script."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from playwright.sync_api import expect

from llmstream.demo_ollama import DemoOllama
from tests.support.page import QUESTION, Chat, Pages, site

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
# Each is an answer of its own: what is not closed in one must not hide the next.
HOSTILE = (
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 1"><img src="https://evil.example/tag.png">',
    '<svg onload="window.pwned = 1"><use href="https://evil.example/use.svg#x"/></svg>',
    '<iframe srcdoc="<script>parent.pwned = 1</script>" src="https://evil.example/frame"></iframe>',
    '<form action="https://evil.example/form"><input name=x autofocus onfocus="window.pwned = 1"><button>Go</button>',
    '<style>* { background: url("https://evil.example/s.png") }</style><link rel=stylesheet href="https://evil.example/">',
    '<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example/">',
    '<details open ontoggle="window.pwned = 1">x</details><video src="https://evil.example/v" autoplay></video>',
    "[click](javascript:window.pwned=1) [click](JaVaScRiPt:window.pwned=1) [click](\x01javascript:window.pwned=1)",
    "[click](data:text/html,<script>opener.pwned=1</script>) [click](vbscript:x) [click](file:///etc/passwd)",
    "[click](//evil.example/relative) [click](\\\\evil.example) <javascript:window.pwned=1>",
    "[click][r]\n\n[r]: javascript:window.pwned=1",
    "![picture](https://evil.example/p.png) ![](//evil.example/q.png) ![r]\n\n[r]: https://evil.example/r.png",
    "![picture](javascript:window.pwned=1) [![in](https://evil.example/in.png)](javascript:window.pwned=1)",
    "\\(\\href{javascript:window.pwned=1}{click}\\) $$\\includegraphics{https://evil.example/m.png}$$",
    "$$\\class{x}{\\style{background:url(https://evil.example/s)}{y}} \\unicode{<img src=x onerror=window.pwned=1>}$$",
    "$$\\def\\a{\\a\\a}\\a$$ $$\\rule{9999em}{9999em}$$",
    "```html\n<img src=x onerror=window.pwned=1></code></pre><script>window.pwned=1</script>\n```",
    '```"><img/src=x/onerror=window.pwned=1>\nx\n```',
    "| <img src=x onerror=window.pwned=1> | [click](javascript:window.pwned=1) |\n|---|---|\n| a | b |",
    "[^<img src=x onerror=window.pwned=1>]\n\n[^<img src=x onerror=window.pwned=1>]: [x](javascript:window.pwned=1)",
    "&lt;img src=x onerror=window.pwned=1&gt; &#106;avascript:window.pwned=1 <https://evil.example/> https://evil.example",
    "<!--><img src=x onerror=window.pwned=1>--> <![CDATA[<script>window.pwned=1</script>]]> <?php ?>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.pwned=1&gt;'>",
    "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1} <custom-tag onclick='window.pwned=1'>x</custom-tag>",  # noqa: E501
)
LOADING = "script, iframe, object, embed, base, meta, style, link, form, img, video, image, use"
EVIL = '<img src=x onerror="window.pwned = 1"><script>window.pwned = 1</script>[click](javascript:window.pwned=1)'


async def hostile(question: str) -> AsyncGenerator[object]:
    """A chain that is hostile in every part."""
    yield [Document(EVIL, metadata={"title": EVIL, "url": "javascript:window.pwned=1"})]
    yield AIMessageChunk(content="", additional_kwargs={"reasoning_content": EVIL})
    yield AIMessage(content="", tool_calls=[{"id": EVIL, "name": EVIL, "args": {EVIL: EVIL}}])
    yield ToolMessage(content=EVIL, tool_call_id=EVIL)
    yield {EVIL: EVIL}
    yield "The end."


def is_inert(chat: Chat) -> None:
    """Nothing of what is shown runs, leads to a script, or is an element that could load something."""
    links = chat.log.locator("a").evaluate_all("(links) => links.map((link) => link.getAttribute('href'))")
    assert [] == [link for link in links if not re.match("https?://|mailto:|#", link)]
    assert 0 == chat.log.locator("a[href^=http]:not([rel~=noopener])").count()
    assert 0 == chat.log.locator(f":is({LOADING})").count()
    chat.log.evaluate(
        """(log) => {
          for (const each of log.querySelectorAll(".markdown *, .aside *")) {
            if (!each.closest("a[href^=http]")) each.dispatchEvent(new MouseEvent("click", { bubbles: true }));
          }
        }"""
    )
    assert chat.page.evaluate("window.pwned === undefined && location.pathname === '/'")


def test_hostile_answers_are_inert(pages: Pages, upstream: DemoOllama) -> None:
    """Nothing in an answer runs, leads to a script, or loads anything from anywhere."""
    with site(upstream, model="demo:latest") as served:
        chat = pages.open(served.url)
        for text in HOSTILE:
            upstream.answers[QUESTION] = f"Begin\n\n{text}\n\nThe end."
            chat.ask().ends()
        expect(chat.page.get_by_role("article", name="Answer")).to_have_count(len(HOSTILE))
        is_inert(chat)
        upstream.answers[QUESTION] = "\n\n".join(HOSTILE)
        chat.ask().ends()
        is_inert(chat)


def test_hostile_sources_thoughts_and_tools_are_inert(pages: Pages, upstream: DemoOllama) -> None:
    """What a chain found, thought and called is text."""
    with site(upstream, chain=hostile) as served:
        chat = pages.open(served.url)
        chat.ask().shows("The end.").ends()
        for summary in chat.answer.locator("summary").all():
            summary.click()
        assert 4 <= chat.answer.get_by_text("onerror").count()
        is_inert(chat)


def test_the_policy_forbids_what_a_mistake_would_let_through(pages: Pages, upstream: DemoOllama) -> None:
    """The page comes with a policy, and the browser refuses foreign pictures, connections and scripts by it."""
    pages.expected = "Content Security Policy|violates"
    with site(upstream) as served:
        page = pages.context().new_page()
        response = page.goto(served.url)
        assert response is not None
        assert (POLICY, "no-cache") == (response.headers["content-security-policy"], response.headers["cache-control"])
        refused = page.evaluate(
            """() => new Promise((resolve) => {
              const refused = [];
              document.addEventListener("securitypolicyviolation", (event) => {
                refused.push(event.effectiveDirective);
                if (refused.length === 3) resolve(refused);
              });
              document.body.append(Object.assign(new Image(), { src: "https://evil.example/x.png" }));
              fetch("https://evil.example/").catch(() => 0);
              document.body.insertAdjacentHTML("beforeend", "<b onclick='window.pwned = 1'>x</b>");
              document.body.lastChild.click();
            })"""
        )
        assert {"img-src", "connect-src", "script-src-attr"} == set(refused)
