"""Ends an answer where the request wants it ended: after `num_predict` chunks or before a `stop` sequence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

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
    chunks: AsyncGenerator[AnswerChunk, None], options: Mapping[str, Any]
) -> AsyncGenerator[AnswerChunk, None]:
    """The chunks up to where the request wants the answer ended, and a last one that counts the answer's tokens.

    chunks: of an answer that keeps to no limit itself; closed at the end. options: Ollama's, of which `num_predict` is
    the most chunks to pass on, thoughts included, and `stop` has the sequences, which are not passed on.
    """
    limit, stops = int(options.get("num_predict") or -1), options.get("stop") or ()
    search, count, last = StopSearch(stops), 0, None
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.done_reason:
                last = chunk
                break
            count += 1
            shown = replace(chunk, content=search.feed(chunk.content)) if chunk.content and stops else chunk
            if shown.content or shown.thinking or shown.tool_calls:
                yield shown
            if search.found or count == limit:
                last = AnswerChunk(done_reason="stop" if search.found else "length")
                break
    if held := search.flush():
        yield AnswerChunk(content=held)
    if last is not None:  # the token that ends an answer by itself counts too
        made = count if last.done_reason == "length" else count + 1
        yield replace(last, answer_tokens=made if last.answer_tokens is None else last.answer_tokens)
