"""One of several model servers: what is known of it, and how it did."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from llmstream.errors import LlmstreamError, ModelNotFound, UpstreamBusy, UpstreamTimeout
from llmstream.logger import logger
from llmstream.ollama.names import tagged
from llmstream.ollama.server_kinds import ServerFailed
from llmstream.ollama.upstream import HostState, ServedModel, Upstream

# How long a host that failed is asked only where there is no other.
COOLING_S = 10.0


class Host:
    """One host. upstream: its server. models: those that it has, by their full names. away: why it is not there.

    choice: its model for those who name none. failures: how often it could not begin an answer. served_at: when it last
    completed one.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.name = re.sub("^https?://", "", upstream.endpoint.shown_url).removesuffix("/v1")
        self.models: dict[str, ServedModel] = {}
        self.choice: str | None = None
        self.away: LlmstreamError | None = None
        self.is_known = False
        self.failures = 0
        self.served_at = -float("inf")
        self._runs: set[object] = set()  # whose adding and removing is safe from any thread, as counting is not
        self._trouble = ""
        self._cool_at = -float("inf")

    async def refresh(self) -> None:
        """Asks the server which models it has, and which of them are in memory."""
        try:
            found = {tagged(model.name): model for model in await self.upstream.models()}
            changed = _in_memory(found) != _in_memory(self.models)
            self.models, self.away = found, None
            if changed or self.choice is None:
                self.choice = await self.upstream.choose_model()
        except ModelNotFound:
            self.choice = None
        except LlmstreamError as error:
            self.away = error
        self.is_known = True

    @property
    def is_there(self) -> bool:
        """True if the host answered the last time that it was asked."""
        return self.is_known and self.away is None

    @property
    def runs(self) -> int:
        """The number of our runs that it answers now."""
        return len(self._runs)

    def is_warm(self, name: str) -> bool:
        """True if the model is in memory, and not to leave it before now."""
        model = self.models.get(tagged(name))
        return model is not None and model.loaded and (model.expires_at is None or model.expires_at > time.time())

    def is_avoided(self, now: float) -> bool:
        """True if it is asked only where there is no other: it is away, or failed a moment ago."""
        return self.away is not None or now < self._cool_at

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Counts a run during the block."""
        run = object()
        self._runs.add(run)
        try:
            yield
        finally:
            self._runs.discard(run)

    def fail(self, error: LlmstreamError, *, cooling_s: float = COOLING_S) -> None:
        """Notes that it could not begin an answer: it is avoided for a time."""
        logger.warning("the model host %s %s", self.name, trouble_of(error))
        self.failures += 1
        self._trouble = error.message
        self._cool_at = time.monotonic() + cooling_s

    def state(self) -> HostState:
        """The host as it is shown."""
        trouble = self._trouble if time.monotonic() < self._cool_at else ""
        if self.away is not None:
            trouble = self.away.message
        elif not self.is_known:
            trouble = "It has not answered yet."
        return HostState(self.name, len(self.models), self.runs, self.failures, trouble, away=not self.is_there)


def trouble_of(error: LlmstreamError) -> str:
    """The words about a host that failed so."""
    if isinstance(error, ModelNotFound):
        return "does not have the model any more"
    if isinstance(error, UpstreamBusy):
        return "is busy"
    if isinstance(error, ServerFailed):
        return "failed"
    return "did not answer in time" if isinstance(error, UpstreamTimeout) else "can't be reached"


def _in_memory(models: Mapping[str, ServedModel]) -> dict[str, bool]:
    return {name: model.loaded for name, model in models.items()}
