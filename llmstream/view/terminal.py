"""An answer on a terminal, as Markdown rendered while it comes, or in a pipe, as text."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from llmstream.events import Data, Event, Finished, Reasoning, Status, Token, ToolCall, ToolResult
from llmstream.view.answer import OneText, parsed
from llmstream.view.markdown import fenced
from llmstream.view.progress import bar
from llmstream.view.safe import one_line, safe_text
from llmstream.view.terminal_markdown import SafeMarkdown, split_blocks, whole_rows

PAINT_EVERY_S = 0.1

# An open block longer than this is shown as plain text until it is complete: laying it out again and again would lag.
_LONG = 20_000

_BLANK = " \t\n"


def on_terminal(stream: TextIO | None = None) -> bool:
    """True if the stream is a terminal that can move its cursor."""
    stream = stream or sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def open_console(stream: TextIO | None = None) -> Console:
    """A console that interprets no markup in text; NO_COLOR is honoured."""
    stream = stream or sys.stdout
    # What is piped goes to a program, which wants whole lines.
    width = None if stream.isatty() else 1000
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


@dataclass
class _Part:
    """A stretch of one kind of output that is not printed for good yet."""

    kind: str
    text: str


class PlainView:
    """The text of the answer alone, as it comes, for a pipe or a file; the output ends with a newline."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._at_start = True
        self._text = OneText()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._at_start and not isinstance(error[1], BrokenPipeError):
            self._write("\n")

    def show(self, event: Event) -> None:
        """Writes the text of a token, and what a person is asked; the rest is for terminals."""
        text = self._text.text_of(event) if isinstance(event, Token) else self._text.rare(event)
        if text := safe_text(text):
            self._write(text)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
        self._at_start = text.endswith("\n")


class TerminalView:
    """Rendered Markdown: finished blocks printed for good, the open one repainted below them.

    A thread of its own paints, at most every 0.1 s: the pace of the terminal never holds up the stream, and Ctrl-C
    never falls into the middle of a control sequence.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: list[_Part] = []
        self._status = ""
        self._texts = {"answer": OneText(), "thought": OneText()}
        self._printed = ""  # the kind of what was printed last
        self._gap = False  # whether a blank line is due before the next block
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._failure: Exception | None = None
        self._live = Live(self, console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._painter = threading.Thread(target=self._paint_always, name="llmstream-terminal", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._console.show_cursor(True)  # a killed process must not leave it hidden
        self._painter.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._changed.set()
        self._painter.join()
        try:
            self._status = ""
            self._commit(last=True)
        finally:
            self._live.stop()

    def show(self, event: Event) -> None:
        """Shows an event, within 0.1 s."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            match event:
                case Token() | Reasoning():
                    self._status = ""
                    kind = "thought" if isinstance(event, Reasoning) else "answer"
                    self._append(kind, safe_text(self._texts[kind].text_of(event)))
                case Status():
                    self._status = bar(event) + event.detail
                case _:
                    self._texts["thought"].rare(event)
                    if text := self._texts["answer"].rare(event):
                        shown = fenced(parsed(text)) if isinstance(event, Finished) else text
                        self._append("answer", safe_text(shown))
                    for line in _lines(event):
                        self._append("line", f"{one_line(line)}\n")
        self._changed.set()

    def _append(self, kind: str, text: str) -> None:
        if self._parts and self._parts[-1].kind == kind:
            self._parts[-1].text += text
        else:
            self._parts.append(_Part(kind, text))

    def _paint_always(self) -> None:
        try:
            while not self._closing.is_set():
                self._changed.wait()
                self._changed.clear()
                with self._lock:
                    self._commit()
                    self._live.refresh()
                self._closing.wait(PAINT_EVERY_S)
        except Exception as failure:  # a terminal that has gone: the thread that reads the answer is told
            self._failure = failure

    def _commit(self, *, last: bool = False) -> None:
        """Prints what no further event can change."""
        while self._parts:
            part = self._parts[0]
            complete = last or len(self._parts) > 1
            done, part.text = (part.text, "") if complete else _SPLIT[part.kind](part.text)
            if complete:
                self._parts.pop(0)
            if done.strip(_BLANK):
                self._print(part.kind, done)
            if not complete:
                return

    def _print(self, kind: str, text: str) -> None:
        block = self._render(kind, text)
        self._console.print(block)
        self._printed = kind
        self._gap = isinstance(block, SafeMarkdown) and not block.ends_in_rule

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders what stands below the finished blocks: the end of the open one, never as high as the screen."""
        lines = console.render_lines(self._open(console), options.update(height=None), pad=False) or [[]]
        *above, last = lines[-max(console.size.height - 2, 1) :]
        for line in above:
            yield from line
            yield Segment.line()
        # In a full last line the ^C that a terminal echoes would begin a new one.
        yield from Segment.adjust_line_length(last, min(Segment.get_line_length(last), options.max_width - 1))

    def _open(self, console: Console) -> RenderableType:
        part = self._parts[-1] if self._parts else _Part("", "")
        if not part.text.strip(_BLANK):
            return Text(one_line(self._status), style="dim")
        if len(part.text) > _LONG:
            return Text(part.text[-console.size.width * console.size.height :])
        return self._render(part.kind, whole_rows(part.text))

    def _render(self, kind: str, text: str) -> RenderableType:
        gap = self._gap or self._printed not in ("", kind)
        if kind == "answer":
            return SafeMarkdown(text, below=bool(self._printed), gap=gap)
        block = Text(text.rstrip("\n"), style="dim")
        return Group("", block) if gap else block


def _split_lines(text: str) -> tuple[str, str]:
    end = text.rfind("\n") + 1
    return text[:end], text[end:]


_SPLIT: dict[str, Callable[[str], tuple[str, str]]] = {
    "answer": split_blocks,
    "thought": _split_lines,
    "line": _split_lines,
}


def open_view() -> TerminalView | PlainView:
    """The view for stdout: a terminal, or a pipe."""
    return TerminalView(open_console()) if on_terminal() else PlainView(sys.stdout)


def _lines(event: Event) -> list[str]:
    match event:
        case ToolCall():
            arguments = ", ".join(f"{name}={value!r}" for name, value in event.arguments.items())
            return [f"→ {event.name}({arguments})"]
        case ToolResult():
            return [f"← {event.output}"]
        case Data(name="sources", value=list() as sources):
            return [
                f"Source: {each.get('title')} {each.get('url') or ''}" for each in sources if isinstance(each, dict)
            ]
    return []
