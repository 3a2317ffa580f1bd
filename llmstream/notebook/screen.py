"""An answer while it comes, shown at a pace a page can follow; in a cell as two outputs, changed in place."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from IPython.display import display, update_display

from llmstream.errors.places import in_kernel
from llmstream.events import Event, Failed, Reasoning, Token
from llmstream.notebook.answer import Answer, answer_of
from llmstream.notebook.controls import TO_STOP, Place, StopButton
from llmstream.notebook.kernel import attended, hears_buttons, request_id
from llmstream.notebook.markdown import (
    MARKDOWN,
    PLAIN,
    Bundle,
    Pace,
    answer_bundle,
    answer_markdown,
    line_bundle,
    plain_line,
    unfinished,
)
from llmstream.view.markdown import escape
from llmstream.view.progress import Progress
from llmstream.view.safe import print_line, print_stderr
from llmstream.view.terminal import on_terminal, open_view

Places = tuple[Place, Place]
_FRACTION = re.compile(r"\.\d s$")


def now() -> str:
    """The time of day, to the second."""
    return time.strftime("%H:%M:%S")


class Slot:
    """One output of a cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def put(self, bundle: dict[str, Any]) -> None:
        """Shows a bundle in place of the one before."""
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            update_display(bundle, raw=True, display_id=self._handle.display_id)  # type: ignore[no-untyped-call]


class Painter:
    """Shows an answer while it comes, at the pace of `Pace`.

    answer: shows the answer so far. tell: says what it is waiting for. is_json: as in `Progress`.
    """

    def __init__(self, answer: Callable[[Bundle], None], tell: Callable[[str], None], *, is_json: bool = False) -> None:
        self.progress = Progress(is_json=is_json)
        self._answer = answer
        self._tell = tell
        self._pace = Pace()
        self._told = ""
        self._shown = ""
        self._came_at = ""
        self._size = 0  # of the last view, with what came since: making one only to see its size would cost as much

    def put(self, events: Sequence[Event]) -> None:
        """Takes events in, and shows them if it is time; called at least every tenth of a second."""
        self.progress.put(events)
        if size := sum(len(event.text.encode()) for event in events if isinstance(event, Token | Reasoning)):
            self._came_at = now()
            self._size += size
        if self.progress.ended is not None:
            self._answer(answer_bundle(self.progress))
        elif self._pace.due():
            began = time.monotonic()
            self._refresh_status()
            self._pace.spent(began, self._refresh() if self._pace.affordable(self._size) else 0)

    def _refresh_status(self) -> None:
        status = self.progress.waiting
        if (whole_seconds := _FRACTION.sub("", status)) != self._told:
            self._told = whole_seconds
            self._tell(status)

    def _refresh(self) -> int:
        """Shows the answer so far; returns the number of bytes sent for it."""
        markdown = answer_markdown(self.progress)
        self._size = len(markdown.encode())
        if markdown == self._shown:
            return 0
        self._answer({MARKDOWN: f"{markdown}\n\n{unfinished(f'last text at {self._came_at}')}"})
        self._shown = markdown
        return self._size


class Screen:
    """The outputs of a cell: the answer, and below it the controls, later the statistics.

    stop: what the button does; None where the cell does not await, so that no button could work.
    places: where the two are shown, if not as outputs of the cell. is_json: as in `Progress`.
    """

    def __init__(self, stop: Callable[[], None] | None, places: Places | None, *, is_json: bool) -> None:
        self._shown_in = request_id()
        self._answer: Place | Slot
        self._line: Place | Slot
        self._answer, self._line = places or (Slot(), Slot())
        self._button: StopButton | None = None
        self._painter = Painter(self._answer.put, self._tell, is_json=is_json)
        line = unfinished(f"asked at {now()}")
        self._answer.put({MARKDOWN: line, PLAIN: plain_line(line)})
        if stop is not None and hears_buttons():
            self._button = StopButton(stop)
            self._line.put(self._button.bundle())

    def put(self, events: Sequence[Event]) -> None:
        """Takes events in, and shows them if it is time; called at least every tenth of a second."""
        self._painter.put(events)

    @property
    def ended(self) -> bool:
        """True if the last event was taken in."""
        return self._painter.progress.ended is not None

    def close(self, run_id: str) -> Answer:
        """Puts the statistics in place of the controls; returns the answer as it ended."""
        progress = self._painter.progress
        self._line.put(line_bundle(progress))
        if self._button is not None:
            self._button.close()
        return answer_of(progress, run_id, self._shown_in)

    def _tell(self, status: str) -> None:
        if self._button is not None:
            self._button.tell(status)
        elif attended():
            told = f"{status}. {TO_STOP}" if status else TO_STOP
            self._line.put({MARKDOWN: f"*{escape(told)}*", PLAIN: told})


class TerminalScreen:
    """The output of IPython in a terminal, or of a script; is_json: as in `Progress`."""

    def __init__(self, *, is_json: bool) -> None:
        self._shown_in = request_id()
        self._progress = Progress(is_json=is_json)
        self._view = open_view()
        self._view.__enter__()

    def put(self, events: Sequence[Event]) -> None:
        """Shows events."""
        self._progress.put(events)
        for event in events:
            self._view.show(event)

    @property
    def ended(self) -> bool:
        """True if the last event was taken in."""
        return self._progress.ended is not None

    def close(self, run_id: str) -> Answer:
        """Shows the statistics; returns the answer as it ended."""
        self._view.__exit__(None, None, None)
        if on_terminal():
            print_line(line_bundle(self._progress)[PLAIN])
        elif not isinstance(self._progress.ended, Failed):  # which its exception tells
            for part in self._progress.parts:
                if part.kind == "ending":
                    print_stderr(part.text)
        return answer_of(self._progress, run_id, self._shown_in)


def open_screen(stop: Callable[[], None] | None, places: Places | None, *, is_json: bool) -> Screen | TerminalScreen:
    """The screen for the place where the code runs; the arguments are those of `Screen`."""
    return Screen(stop, places, is_json=is_json) if in_kernel() else TerminalScreen(is_json=is_json)
