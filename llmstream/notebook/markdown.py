"""The contents of a cell, in Markdown and in plain text, made from the progress of a run; no IPython here.

No HTML but our own `<details>` gets into it, and no image: see `llmstream.markdown`.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable

from llmstream.events import Cancelled, Failed, Interrupted
from llmstream.view.answer import parsed
from llmstream.view.markdown import SPECIAL, escape_lines, fenced, inert_markdown
from llmstream.view.progress import Part, Progress

MARKDOWN, PLAIN = "text/markdown", "text/plain"
Bundle = dict[str, str]
_PERIOD_S = 0.1

# Code in a message, and what may act in it, or end it, for a program that does not look for code first.
_CODE, _ACTS = re.compile(r"(`[^`]+`)"), re.compile(r"[$\\<]")

# A view that takes long to make is made less often, …
_SHARE = 5

# … and one that is long too, since it is sent whole each time: all that is sent stays below so many bytes, and so many
# more for each byte of the answer. But it never stands still for longer than _PATIENCE_S.
_FREE_BYTES, _FACTOR, _PATIENCE_S = 30_000, 45, 2.0
_MESSAGE_BYTES = 700


def answer_markdown(progress: Progress) -> str:
    """The answer so far, with thinking, tools and sources folded."""
    return "\n\n".join(filter(None, (_block(part, is_json=progress.is_json) for part in progress.parts)))


def answer_bundle(progress: Progress) -> Bundle:
    """The answer for a saved notebook; the plain text is exactly the model's, or JSON."""
    return {MARKDOWN: answer_markdown(progress), PLAIN: progress.plain}


def line_bundle(progress: Progress) -> Bundle:
    """The MIME bundle below an answer that has ended."""
    line = end_line(progress)
    return {MARKDOWN: line, PLAIN: plain_line(line)}


def plain_line(line: str) -> str:
    """The statistics line as plain text."""
    return re.sub(r"(`[^`]*`)|\\(.)|\*", r"\1\2", line)


def message_markdown(message: str) -> str:
    """The message of an error as Markdown that shows just this text, with what stands between backticks as code."""
    parts = enumerate(_CODE.split(" ".join(message.split())))
    return "".join(part if at % 2 and not _ACTS.search(part) else SPECIAL.sub(r"\\\1", part) for at, part in parts)


def unfinished(since: str) -> str:
    """The line below an answer while it comes: true as well where nothing comes any more, in the page and the file."""
    return f"*Not complete · {since}*"


def end_line(progress: Progress) -> str:
    """The statistics of an answer, or how it ended, in Markdown."""
    if isinstance(progress.ended, Failed):
        return "⚠️ *The answer is not complete.*" if progress.text else "⚠️ *There is no answer.*"
    if progress.ended is None or isinstance(progress.ended, Cancelled):
        return "*Stopped: the answer is not complete.*" if progress.text else "*Stopped before the answer began.*"
    if isinstance(progress.ended, Interrupted):
        return f"*Waiting for an answer{f' · {progress.line}' if progress.line else ''}*"
    told = (*(part.text for part in progress.parts if part.kind == "ending"), progress.line)
    return f"*{' '.join(filter(None, told))}*" if any(told) else ""


def _block(part: Part, *, is_json: bool) -> str:
    match part.kind:
        case "text" if is_json:
            value = parsed(part.text)
            return inert_markdown(fenced(part.text if value is None else value).rstrip())
        case "text":
            return inert_markdown(part.text)
        case "thinking":
            return _folded(part, escape_lines(part.text), is_open=part.pending)
        case "question":
            return inert_markdown(part.text)
        case "note":
            return _folded(part, part.text.strip(), is_open=False)
    return ""  # how it ended stands on the line below


def _folded(part: Part, body: str, *, is_open: bool) -> str:
    time_s = f" · {part.duration_s:.1f} s" if part.duration_s else ""
    title = html.escape(f"{part.title}{time_s}").replace("\n", " ")
    return f"<details{' open' if is_open else ''}>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


class Pace:
    """The pace at which a growing answer is shown.

    The first time at once, then at most ten times a second, and less often the longer it is; clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent = 0
        self._last: float | None = None
        self._next = 0.0

    def due(self) -> bool:
        """True if enough time has passed to make a view at all."""
        return self._last is None or self._clock() >= self._next

    def affordable(self, size: int) -> bool:
        """True if a view of so many bytes may be sent now."""
        late = self._last is None or self._clock() - self._last >= _PATIENCE_S
        return late or self._sent + size + _MESSAGE_BYTES <= _FREE_BYTES + _FACTOR * size

    def spent(self, began: float, size: int) -> None:
        """Notes that a view was made and sent; one that was not sent has a size of 0."""
        now = self._clock()
        if size:
            self._sent += size + _MESSAGE_BYTES
            self._last = now
        self._next = now + max(_PERIOD_S, _SHARE * (now - began))
