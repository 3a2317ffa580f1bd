"""What a cell shows of an answer, and how often."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Timings,
    Token,
    ToolCall,
    ToolResult,
    Usage,
)
from llmstream.notebook.markdown import Pace, answer_bundle, answer_markdown, line_bundle, message_markdown, plain_line
from llmstream.view.progress import Progress

DONE = Finished("stop", Usage(1, 3), Timings(0.25, 1.25, None, 3.0))


class Clock:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress_of(*events: Event) -> Progress:
    """What a run with these events looks like."""
    progress = Progress(clock=Clock())
    progress.put([Started("m", 0.0), *events])
    return progress


def test_plain_text_is_exact_and_markdown_is_inert() -> None:
    """The plain text is the model's to the last character; the Markdown has no HTML."""
    assert {"text/markdown": "a &lt;b>\n", "text/plain": "a <b>\r\n"} == answer_bundle(
        progress_of(Token("a <b>\r\n"), DONE)
    )


def test_thinking_is_open_while_it_grows() -> None:
    """Thinking is unfolded while it is all there is, and folded as soon as the answer begins; it shows as text."""
    progress = progress_of(Reasoning("</details> *hm*"))
    assert "<details open>\n<summary>Thinking</summary>\n\n\\</details\\> \\*hm\\*\n\n</details>" == answer_markdown(
        progress
    )
    progress.put([Token("Blue."), DONE])
    assert answer_markdown(progress).startswith("<details>\n")
    assert answer_markdown(progress).endswith("</details>\n\nBlue.")


def test_tools_and_sources_are_folded() -> None:
    """A tool with its result, and sources, are folded under a title in which nothing acts."""
    markdown = answer_markdown(
        progress_of(
            ToolCall("1", "get<b>", {"city": "Paris"}),
            ToolResult("1", "sunny"),
            Data("sources", [{"title": "A", "url": "https://a.example"}]),
            Token("Sunny."),
            DONE,
        )
    )
    assert "<summary>Tool: get&lt;b&gt;</summary>" in markdown
    assert "1. [A](https://a.example)\n\n</details>\n\nSunny." in markdown


def test_json_is_code() -> None:
    """An answer in a format that was asked for is shown as JSON, to the end and before; the plain text is exact."""
    progress = Progress(is_json=True)
    progress.put([Token('{"city": "Oslo", ')])
    assert ('```\n{"city": "Oslo", \n```', None) == (answer_markdown(progress), progress.output)
    progress.put([Token('"size":2}'), DONE])
    assert {"text/markdown": '```json\n{\n  "city": "Oslo",\n  "size": 2\n}\n```',
            "text/plain": '{"city": "Oslo", "size":2}'} == answer_bundle(progress)  # fmt: skip
    assert {"city": "Oslo", "size": 2} == progress.output


def test_an_object_of_the_chain_is_code() -> None:
    """An object and no text is shown and saved as JSON, which a model's fence can't end."""
    progress = progress_of(Data("output", {"a": "```\n<img src=x onerror=alert(1)>"}), DONE)
    assert '````json\n{\n  "a": "```\\n<img src=x onerror=alert(1)>"\n}\n````' == answer_markdown(progress)
    assert '{\n  "a": "```\\n<img src=x onerror=alert(1)>"\n}' == answer_bundle(progress)["text/plain"]


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([Token("x"), DONE], "250 ms to first token · 3 tokens · 3.0 tokens/s · m"),
        ([DONE], "The model answered nothing. 250 ms to first token · 3 tokens · 3.0 tokens/s · m"),
        ([Token("x"), Cancelled("stop")], "Stopped: the answer is not complete."),
        ([Cancelled("stop")], "Stopped before the answer began."),
        ([Token("x"), Failed("a", "b", retryable=True)], "⚠️ The answer is not complete."),
        ([Failed("a", "b", retryable=True)], "⚠️ There is no answer."),
    ],
)
def test_line_below(events: list[Event], line: str) -> None:
    """The line below an answer has its statistics, or says how it ended."""
    found = line_bundle(progress_of(*events))
    assert line == found["text/plain"]
    assert line == found["text/markdown"].replace("*", "")


@pytest.mark.parametrize("tokens_per_s", [10, 20, 40, 100, 1000])
def test_pace(tokens_per_s: int) -> None:
    """2,000 tokens: the first at once, at most ten views a second, never two seconds without one, at most 0.7 MB."""
    clock = Clock()
    pace = Pace(clock)
    sent: list[tuple[float, int]] = []
    for number in range(1, 2001):
        clock.now = number / tokens_per_s
        size = 5 * number
        if pace.due():
            shown = pace.affordable(size)
            pace.spent(clock.now, size if shown else 0)
            sent += [(clock.now, size)] if shown else []
    times = [time for time, _ in sent]
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    assert 1 / tokens_per_s == times[0]
    assert all(0.1 <= gap <= 2.1 for gap in gaps)
    assert sum(size + 700 for _, size in sent) + 20_000 <= 700_000


def test_slow_views_are_rarer() -> None:
    """A view that took long to make is made again only after five times as long."""
    clock = Clock()
    pace = Pace(clock)
    clock.now = 0.4
    pace.spent(0.0, 10)
    waits = []
    for now in (2.3, 2.5):
        clock.now = now
        waits.append(pace.due())
    assert [False, True] == waits


def test_missing_extra_says_what_to_install() -> None:
    """Without ipywidgets the import says which command brings it."""
    code = "import sys; sys.modules['ipywidgets'] = None; import llmstream.notebook"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert 'ImportError: Notebooks need ipywidgets: pip install "llmstream-toolkit[notebook]"' in done.stderr


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("No Ollama at http://127.0.0.1:9.", r"No Ollama at http\://127\.0\.0\.1:9\."),
        ("Run `ensure_ollama()`, `ollama serve`.", r"Run `ensure_ollama()`, `ollama serve`\."),
        ("`curl http://a:1/b -d '{\"a\": [2*3]}'`", "`curl http://a:1/b -d '{\"a\": [2*3]}'`"),
        ("Give `def f(question): yield …` 2*3 words", r"Give `def f(question): yield …` 2\*3 words"),
        ("`<b>` or `$a` or `b`, `", r"\`\<b\>\` or \`\$a\` or `b`, \`"),
    ],
)
def test_a_message_shows_its_addresses_and_its_code(message: str, shown: str) -> None:
    """Without a backslash in either, in Markdown and as plain text; what could act is no code but plain text."""
    assert (shown, message) == (message_markdown(message), plain_line(message_markdown(message)))
