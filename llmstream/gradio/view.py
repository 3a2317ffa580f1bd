"""The messages that a Gradio chatbot shows, made from the events of a run; no Gradio here.

The answer's text is one message, or several where tools came between; everything else (thinking, tools, sources,
errors) is a message with a title, which Gradio shows as a folded note, and which a chain is not told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llmstream.events import Failed, Finished, Interrupted, Terminal
from llmstream.gradio.messages import EDIT, QUESTION, TRY_AGAIN, Message, message
from llmstream.view.interrupts import actions_of
from llmstream.view.progress import Part, Progress

GO_ON = "Go on."

# What can be decided by a click; for any other decision the person writes.
_BUTTONS = ("approve", EDIT, "reject")


class View(Progress):
    """The messages of a run so far.

    run_id: goes into the metadata of the answer. clock: in seconds.
    """

    def __init__(self, *, run_id: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self.run_id = run_id

    def messages(self) -> list[Message]:
        """The messages of the answer as they are now."""
        found = [self._message(part) for part in self.parts]
        if waiting := self.waiting:
            found.append(_titled(waiting, "", status="pending"))
        if found and (options := _options(self.ended)):
            found[-1]["options"] = options
        return found

    def _message(self, part: Part) -> Message:
        if part.kind == "text":
            said_in = self.run_id if part.message is None else f"{self.run_id}/{part.message}"
            return message("assistant", part.text, {"id": said_in} if said_in else None)
        if part.kind == "question":
            return message("assistant", part.text, QUESTION)
        if part.kind == "error":
            return _titled(part.title, part.text)
        if part.pending:
            return _titled(part.title, part.text, status="pending")
        duration = {} if part.duration_s is None else {"duration": part.duration_s}
        return _titled(part.title, part.text, status="done", **duration)


def _titled(title: str, text: str, **metadata: Any) -> Message:
    return message("assistant", text, {"title": title, **metadata})


def _options(ended: Terminal | None) -> list[dict[str, str]] | None:
    if isinstance(ended, Failed) and ended.retryable:
        return [{"value": TRY_AGAIN, "label": TRY_AGAIN}]
    if isinstance(ended, Finished) and ended.reason == "length":
        return [{"value": GO_ON, "label": "Go on"}]
    if isinstance(ended, Interrupted):
        actions = [action for each in ended.interrupts for action in actions_of(each)]
        offered = [kind for kind in _BUTTONS if actions and all(kind in each.allowed for each in actions)]
        return [{"value": kind, "label": kind.capitalize()} for kind in offered] or None
    return None
