"""The chat page in a Chromium: what a long Markdown answer costs a frame while it streams.

Run as `python -m benchmarks.react_page PORT` it is the upstream: a demo Ollama that knows the answer.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import llmstream
from benchmarks.processes import MODEL, OTHERS_CORE, Process, server
from benchmarks.report import table, target
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.answers import tokens
from llmstream.ollama_server.backend import Model

_PAGE = Path(llmstream.__file__).parent / "page" / "index.html"
_TOKENS_PER_S = 200
_SECTION = """## Part {n}: what a page has to draw

A paragraph with **strong** and *gentle* words, `code`, [a link](https://example.com/{n}), and enough text in one line
to be broken into several: the sky is blue because the air scatters short waves of light much more than long ones.

1. First, a list whose items are long enough to be worth a second look,
2. then \\(e^{{i\\pi}} + 1 = 0\\), a formula in the middle of a line,
   - and a list in the list.

| what | how often | how long |
| --- | ---: | ---: |
| a token | 200 a second | {n} ms |
| a frame | 60 a second | 4 ms |

```python
async def part_{n}(question: str) -> None:
    async for event in llmstream.astream_events(question):
        print(event)  # each event once, in order
```

$$
\\frac{{1}}{{{n}}} \\sum_{{i=1}}^{{{n}}} x_i^2
$$

"""
_COUNT_FRAMES = """() => {
  window.frames_ = 0;
  const onFrame = () => { window.frames_ += 1; requestAnimationFrame(onFrame); };
  requestAnimationFrame(onFrame);
}"""
_FIGURES = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")


def _answer() -> str:
    """12 kB of Markdown."""
    text = ""
    while len(text) < 12_000:
        text += _SECTION.format(n=len(text) // 1000 + 1)
    return text


def _upstream(port: int) -> None:
    with DemoOllama(port=port, tokens_per_s=_TOKENS_PER_S) as upstream:
        upstream.models[MODEL] = Model(MODEL)
        upstream.answers["Long?"] = _answer()
        while True:
            time.sleep(60)


def _sample(page: Any, session: Any) -> dict[str, float]:
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {"frames": page.evaluate("window.frames_"), **{name: found[name] for name in _FIGURES}}


def _stream(page: Any, url: str) -> list[dict[str, float]]:
    """Figures at the first token, after a third and two thirds of the answer, and at its end."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(url)
    page.evaluate(_COUNT_FRAMES)
    page.get_by_role("textbox").first.fill("Long?")
    page.keyboard.press("Enter")
    page.locator(".markdown").wait_for()
    samples = [_sample(page, session)]
    for _ in range(2):
        time.sleep(len(tokens(_answer())) / _TOKENS_PER_S / 3)
        samples.append(_sample(page, session))
    page.locator(".answer[aria-busy=false]").wait_for()
    return [*samples, _sample(page, session)]


def run(*, quick: bool) -> None:
    """A 12 kB answer at 200 tokens/s; the browser may use both cores."""
    chromium = os.environ.get("LLMSTREAM_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not _PAGE.is_file():
        print("\nThe chat page is left out: it needs `chromium` on PATH, and `make page`.")
        return
    source = Process("benchmarks.react_page", core=OTHERS_CORE)
    try:
        with server("llmstream", source) as process, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            samples = _stream(browser.new_page(), f"http://127.0.0.1:{process.port}")
            browser.close()
    finally:
        source.close()
    _report(samples)


def _report(samples: list[dict[str, float]]) -> None:
    begin, third, two_thirds, end = samples
    spans = (("first third", begin, third), ("second", third, two_thirds), ("last", two_thirds, end))
    rows = []
    for name, before, after in (*spans, ("whole answer", begin, end)):
        frames = after["frames"] - before["frames"]
        rows.append((name, frames, *((after[figure] - before[figure]) * 1e3 / frames for figure in _FIGURES)))
    head = ("part", "frames", "scripting, ms", "layout, ms", "styles, ms", "all tasks, ms")
    table("The chat page: main thread per frame, 12 kB of Markdown at 200 tokens/s", head, rows)
    target("scripting per frame", float(str(rows[-1][2])), 4, "ms")


if __name__ == "__main__":
    _upstream(int(sys.argv[1]))
