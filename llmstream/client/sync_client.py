"""The client for code that is not async."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Self

from llmstream import concurrency
from llmstream.client.async_client import AsyncClient, Question
from llmstream.errors import RunCancelled, error_from_code
from llmstream.events import Cancelled, Event, Failed, Token
from llmstream.view.answer import OneText


class Client:
    """`AsyncClient` for code that is not async."""

    def __init__(self, url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self._client = AsyncClient(url, token=token, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes nothing: no connection is held between calls."""

    def start(self, question: Question, **fields: Any) -> str:
        """Does what `AsyncClient.start` does, and returns when it is done."""
        return concurrency.run(self._client.start(question, **fields))

    def continue_run(self, run_id: str) -> str:
        """Does what `AsyncClient.continue_run` does, and returns when it is done."""
        return concurrency.run(self._client.continue_run(run_id))

    def follow(self, run_id: str, after: int = 0) -> Generator[Event, None, None]:
        """Does what `AsyncClient.follow` does, as an ordinary iterator."""
        yield from concurrency.iterate(lambda: self._client.follow(run_id, after))

    def stop(self, run_id: str) -> bool:
        """Does what `AsyncClient.stop` does, and returns when it is done."""
        return concurrency.run(self._client.stop(run_id))

    def snapshot(self, run_id: str) -> dict[str, Any]:
        """Does what `AsyncClient.snapshot` does, and returns when it is done."""
        return concurrency.run(self._client.snapshot(run_id))

    def stream_events(self, question: Question, **fields: Any) -> Generator[Event, None, None]:
        """Does what `AsyncClient.stream_events` does, as an ordinary iterator."""
        yield from concurrency.iterate(lambda: self._client.stream_events(question, **fields))

    def stream_run(self, run_id: str) -> Generator[Event, None, None]:
        """Does what `AsyncClient.stream_run` does, as an ordinary iterator."""
        yield from concurrency.iterate(lambda: self._client.stream_run(run_id))

    def stream(self, question: Question, **fields: Any) -> Generator[str, None, None]:
        """The pieces of the answer, and of what a graph asks that waits for a person.

        Raises the `LlmstreamError` that it broke off with.
        """
        text = OneText()
        for event in self.stream_events(question, **fields):
            match event:
                case Token():
                    yield text.text_of(event)
                case Failed():
                    raise error_from_code(event.code, event.message)
                case Cancelled():
                    raise RunCancelled
                case _ if rest := text.rare(event):
                    yield rest
