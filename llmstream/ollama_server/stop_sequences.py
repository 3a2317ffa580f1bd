"""Ends an answer where the request wants it ended: after `num_predict` chunks or before a `stop` sequence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from llmstream.ollama_server.backend import AnswerChunk


class StopSearch:
    """Finds the first stop sequence in a text that comes in chunks.

    stops: the sequences; empty ones are ignored.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """The text that can be shown now; the rest may be the beginning of a stop sequence and is held back."""
        text = self._held + text
        hits = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            self.found, self._held = True, ""
            return text[: min(hits)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """The text that is still held back, at the end."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The number of characters at the end of the text that are a beginning of the stop sequence."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


async def limited(
    chunks: AsyncGenerator[AnswerChunk, None], *, num_predict: int, stops: Sequence[str]
) -> AsyncGenerator[AnswerChunk, None]:
    """Passes the chunks on, and always a last one with `done_reason` and `answer_tokens`.

    chunks: the answer; closed at the end. num_predict: most chunks to pass on, thoughts included; no limit if zero or
    negative. stops: sequences that end the answer; they are not passed on.
    """
    search, count, last = StopSearch(stops), 0, AnswerChunk()
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.done_reason:
                last = chunk
                break
            count += 1
            shown = replace(chunk, content=search.feed(chunk.content)) if chunk.content and stops else chunk
            if shown.content or shown.thinking or shown.tool_calls:
                yield shown
            if search.found or count == num_predict:
                break
    if held := search.flush():
        yield AnswerChunk(content=held)
    yield _ended(last, count, is_cut=count == num_predict and not search.found)


def _ended(last: AnswerChunk, count: int, *, is_cut: bool) -> AnswerChunk:
    """The last chunk with what the backend left out: how the answer ended, and after how many tokens."""
    # The token that ends an answer counts too.
    tokens = count if is_cut else count + 1
    reason = last.done_reason or ("length" if is_cut else "stop")
    return replace(last, done_reason=reason, answer_tokens=tokens if last.answer_tokens is None else last.answer_tokens)
