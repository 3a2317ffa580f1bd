"""The endpoint of a chat page for programs, such as `gradio_client`: off unless the page names one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from llmstream.events import Cancelled, Failed, Finished, Interrupted, Terminal
from llmstream.gradio.active_answers import Turns
from llmstream.gradio.options import Options
from llmstream.gradio.request import connection, session
from llmstream.gradio.view import ChatView
from llmstream.view.ending import why_incomplete
from llmstream.view.interrupts import in_words

Said = list[dict[str, str]]


def add_endpoint(turns: Turns, options: Options) -> None:
    """Adds an endpoint that takes a message and the additional inputs, and gives the text of the answer as it grows.

    As with `gr.ChatInterface`, the conversation of a client is remembered as long as the client is.
    """
    message = gr.Textbox(label="Message", visible=False)
    answer = gr.Textbox(label="Answer", visible=False)
    said = gr.State([])
    gr.Button(visible=False).click(
        _Endpoint(turns, options.labels).ask,
        [message, said, *options.additional_inputs],
        [answer, said],
        api_name=options.api_name,
        api_visibility="public",
        api_description="Answers a message, in the conversation of this client.",
        concurrency_limit=None,
        show_progress="hidden",
    )


class _Endpoint:
    """The handler of the endpoint. labels: the names of the additional inputs."""

    def __init__(self, turns: Turns, labels: Sequence[str]) -> None:
        self._turns = turns
        self._labels = labels

    async def ask(
        self, request: gr.Request, message: Any, said: Said, *values: Any
    ) -> AsyncGenerator[tuple[str, Said], None]:
        """Answers a message, or takes it for the answer to what the chain has asked."""
        who, text = session(request), str(message or "")
        asked = [*said, {"role": "user", "content": text}]
        fields: dict[str, Any] = {"messages": said, "answer": text} if self._turns.asked(who) else {"messages": asked}
        if self._labels:
            fields["inputs"] = dict(zip(self._labels, values, strict=True))
        end: Terminal | None = None
        async with aclosing(self._turns.answer(who, fields, connection(request))) as views:
            async for view in views:
                end = view.ended
                if not isinstance(end, Failed | Cancelled):
                    yield _text(view), [*asked, {"role": "assistant", "content": _text(view)}]
        if not isinstance(end, Finished | Interrupted):  # without an end this client has asked something else
            raise gr.Error(why_incomplete(end or Cancelled("replaced")), print_exception=False)


def _text(view: ChatView) -> str:
    """The answer so far, and what the chain asks behind it."""
    if not isinstance(view.ended, Interrupted):
        return view.text
    return "\n\n".join(text for text in (view.text, in_words(view.ended.interrupts)) if text)
