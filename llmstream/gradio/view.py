"""The messages that a Gradio chatbot shows, made from the events of a run; no Gradio here.

The answer's text is one message, or several where tools came between; everything else (thinking, tools, sources,
errors) is a message with a title, which Gradio shows as a folded note, and which a chain is not told.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from llmstream.events import Interrupted, Terminal
from llmstream.gradio.messages import CONTINUE, EDIT, QUESTION, Message, message, note
from llmstream.runs.continuing import can_continue
from llmstream.view.interrupts import actions_of
from llmstream.view.progress import Part, Progress

# What can be decided by a click; for any other decision the person writes.
_BUTTONS = ("approve", EDIT, "reject")


class ChatView(Progress):
    """The messages of a run so far.

    run_id: goes into the metadata of the answer. goes_on: whether one that was cut can be continued. clock: in seconds.
    """

    def __init__(self, *, run_id: str = "", goes_on: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self.run_id = run_id
        self._goes_on = goes_on

    def messages(self) -> list[Message]:
        """The messages of the answer as they are now."""
        found = [self._message(part) for part in self.parts]
        if waiting := self.waiting:
            found.append(note(waiting, "", status="pending"))
        if found and (options := _options(self.ended, self.text, self._goes_on)):
            found[-1]["options"] = options
        return found

    def _message(self, part: Part) -> Message:
        run_id = self.run_id if part.message is None else f"{self.run_id}/{part.message}"
        said_in = {"id": run_id} if run_id else {}
        if part.kind == "text":
            return message("assistant", part.text, said_in or None)
        if part.kind == "question":
            return message("assistant", part.text, QUESTION)
        if part.kind == "ending":
            return note(part.title, part.text, **said_in)
        if part.pending:
            return note(part.title, part.text, status="pending")
        duration = {} if part.duration_s is None else {"duration": part.duration_s}
        return note(part.title, part.text, status="done", **duration)


def _options(ended: Terminal | None, text: str, goes_on: bool) -> list[dict[str, str]] | None:
    if isinstance(ended, Interrupted):
        actions = [action for each in ended.interrupts for action in actions_of(each)]
        offered = [kind for kind in _BUTTONS if actions and all(kind in each.allowed for each in actions)]
        return [{"value": kind, "label": kind.capitalize()} for kind in offered] or None
    offers = goes_on and text.strip() and can_continue(ended)  # Gradio has a button to retry under every answer
    return [{"value": CONTINUE, "label": CONTINUE}] if offers else None
