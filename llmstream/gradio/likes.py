"""The thumbs under the answers of a chat page: what a click says, and which one is shown as given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import gradio as gr

from llmstream.gradio.messages import answer_around, conversation, last_question, run_of


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


# The words that Gradio's thumbs know, by what a click says.
_WORDS = {True: "Like", False: "Dislike"}


def like_of(event: Any, history: Any, caller: str) -> Like | None:
    """The word that a click on a thumb is, by Gradio's `LikeData` and the messages of the page."""
    index = event.index[0] if isinstance(event.index, list | tuple) else event.index
    messages = list(history or ())
    if not isinstance(index, int) or not 0 <= index < len(messages):
        return None
    answer = answer_around(messages, index)
    return Like(
        run_id=run_of(answer),
        caller=caller,
        liked=event.liked if isinstance(event.liked, bool) else None,
        question=last_question(messages[:index])[0]["text"],
        text="\n\n".join(each["content"] for each in conversation(answer)),
    )


def with_word(words: Any, like: Like, history: Any) -> dict[str, str]:
    """The words on the answers of a conversation, by their runs, with this one."""
    known = {run_of([each]) for each in history or ()}
    kept = {run_id: word for run_id, word in _read(words).items() if run_id in known and run_id != like.run_id}
    return kept if like.liked is None else {**kept, like.run_id: _WORDS[like.liked]}


def feedback(messages: Sequence[Any], words: Any) -> list[str | None]:
    """The words as Gradio's `feedback_value` has them: one for each message of the assistant, by its answer's run."""
    said = _read(words)
    answers = (answer_around(messages, at) for at, each in enumerate(messages) if each.get("role") == "assistant")
    return [said.get(run_of(answer)) for answer in answers]


def thumbed(messages: Sequence[Any], *words: Any) -> Any:
    """The messages for a conversation, with the thumbs as they were pressed where `words` tells it."""
    return gr.update(value=messages, feedback_value=feedback(messages, words[0])) if words else messages


def _read(words: Any) -> Mapping[str, str]:
    """The words as a page has sent them, where they are some."""
    found = words if isinstance(words, Mapping) else {}
    return {str(run_id): word for run_id, word in found.items() if run_id and word in _WORDS.values()}
