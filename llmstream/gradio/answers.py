"""The answers of a chat page, as Gradio's handlers give them: messages, the line below, and what the browser keeps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from llmstream.events import Failed
from llmstream.gradio.active_answers import Turns
from llmstream.gradio.components import BUSY, IDLE
from llmstream.gradio.likes import thumbed
from llmstream.gradio.messages import conversation, is_answer, run_to_follow, settled, text_of
from llmstream.gradio.options import Options
from llmstream.gradio.request import Presence, connection, session
from llmstream.gradio.saved import Saving, read_kept
from llmstream.gradio.view import ChatView
from llmstream.settings import Settings

State = list[Any]

# The line below an answer that comes. It stays where the server dies: nothing else would say that a part is missing.
_COMING = "Not complete yet."


class Answers:
    """The handlers that answer, and that bring an answer back. settings: gives those of the moment."""

    def __init__(self, turns: Turns, options: Options, settings: Callable[[], Settings]) -> None:
        self._turns = turns
        self._options = options
        self._settings = settings

    async def answer(self, request: gr.Request, history: Any, *values: Any) -> AsyncGenerator[State, None]:
        """Answers the question that stands last, if one does."""
        asked = list(history or ())
        if not asked or asked[-1].get("role") != "user":
            yield self._same()
            return
        if (run_id := run_to_follow(asked[-1])) is not None:
            views = self._turns.follow(session(request), run_id, is_own=True)
        else:
            views = self._turns.answer(session(request), self._fields(asked, values), connection(request))
        async with aclosing(self._states(request, asked, views)) as states:
            async for state in states:
                yield state

    async def load(self, request: gr.Request, value: Any, *words: Any) -> tuple[Any, Any]:
        """Shows what the browser has kept, also of the words on its answers; for the chat and the box."""
        kept = read_kept(value, session(request)[0])
        self._turns.restore(session(request), kept.thread)
        messages = kept.messages.model_dump()
        return thumbed(messages, *words) if messages else gr.skip(), gr.update(**BUSY) if kept.run else gr.skip()

    async def follow(self, value: Any, request: gr.Request) -> AsyncGenerator[State, None]:
        """Goes on showing the answer that came when the page was left."""
        kept = read_kept(value, session(request)[0])
        if not kept.run:
            yield self._same()
            return
        views = self._turns.follow(session(request), kept.run)
        asked, partial = kept.messages.model_dump(), settled(kept.partial.model_dump())
        async with aclosing(self._states(request, asked, views, partial)) as states:
            async for state in states:
                yield state

    async def answered(self, request: gr.Request) -> Any:
        """Gives the box back, unless another answer is under way."""
        return gr.skip() if self._turns.is_busy(session(request)) else gr.update(**IDLE)

    async def left(self, request: gr.Request, messages: list[Any], **box: Any) -> State:
        """Leaves the answer under way, and shows these messages; for the box first."""
        await self._turns.leave(session(request))
        kept = [self._saving(request).of(messages)] if self._options.save_history else []
        return [gr.update(**box, **IDLE), messages, "", *kept]

    async def _states(
        self, request: gr.Request, asked: list[Any], views: AsyncGenerator[ChatView, None], partial: Sequence[Any] = ()
    ) -> AsyncGenerator[State, None]:
        """The page as an answer comes; partial: the part of it that is known, should its run be gone."""
        ended, saving, presence = False, None, Presence(request, self._settings().send_timeout_s)
        async with aclosing(views) as shown:
            async for view in shown:
                if not await presence.is_there():
                    return
                ended = view.ended is not None
                saving = saving or self._saving(request)
                is_gone = isinstance(view.ended, Failed) and view.ended.code == "run_not_found"
                before = [*asked, *partial] if is_gone else asked
                kept = [saving.due(before, view)] if self._options.save_history else []
                yield [[*before, *view.messages()], view.line if ended else _COMING, *kept]
        if not ended:  # the page shows something else by now, and Gradio repeats the last thing it was given
            yield self._same()

    def _same(self) -> State:
        return [gr.skip()] * (3 if self._options.save_history else 2)

    def _saving(self, request: gr.Request) -> Saving:
        who = session(request)
        return Saving(who[0], self._turns.thread(who))

    def _fields(self, asked: list[Any], values: Sequence[Any]) -> dict[str, Any]:
        """The fields that a run is asked with; values: of the panel, or of the additional inputs."""
        messages = conversation(asked)
        fields: dict[str, Any] = {"messages": messages}
        if is_answer(asked[-1]):
            fields["answer"] = text_of(asked[-1])
        if labels := self._options.labels:
            return {**fields, "inputs": dict(zip(labels, values, strict=True))}
        if not values or "answer" in fields:
            return fields
        model, system, temperature, thinking = values
        if system and self._settings().system_prompt is None:
            messages.insert(0, {"role": "system", "content": str(system)})
        options = {"temperature": _number(temperature)} if temperature else None
        return {**fields, "model": model or None, "thinking": thinking, "options": options}


def _number(text: Any) -> Any:
    """The number that a choice means; a text that is no number is refused with the request."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
