"""The thumbs under the answers of a chat page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from llmstream.gradio.messages import id_of, last_question, text_of


@dataclass(frozen=True)
class Like:
    """The word of a person on an answer.

    liked: None where an earlier word was taken back. run_id: of the answer, by which `on_end` knows it too. caller: who
    said so, "" where callers are not told apart.
    """

    run_id: str
    caller: str
    liked: bool | None
    question: str
    text: str


# Called for each click on a thumb; a sync one runs in a thread.
OnLike: TypeAlias = Callable[[Like], Awaitable[None] | None]


def like_of(event: Any, history: Any, caller: str) -> Like | None:
    """The word that a click on a thumb is, by Gradio's `LikeData` and the messages of the page."""
    index = event.index[0] if isinstance(event.index, list | tuple) else event.index
    messages = list(history or ())
    if not isinstance(index, int) or not 0 <= index < len(messages):
        return None
    return Like(
        run_id=id_of(messages[index]).partition("/")[0],
        caller=caller,
        liked=event.liked if isinstance(event.liked, bool) else None,
        question=last_question(messages[:index])[0]["text"],
        text=text_of(messages[index]),
    )
