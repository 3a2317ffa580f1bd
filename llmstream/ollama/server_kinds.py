"""The kinds of model servers, and how errors name them: Ollama, or one that speaks OpenAI's chat completions."""

from __future__ import annotations

from dataclasses import dataclass

from llmstream.errors import (
    UpstreamError,
    UpstreamProtocol,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.errors.in_cell import in_kernel

# With these a proxy says that there is nobody behind it.
_NOBODY = (502, 503, 504)


class ProxyAnswered(UpstreamProtocol):
    """A proxy answered in the place of a server, which seems to be away."""


class ServerFailed(UpstreamError):
    """A server failed before an answer began (status 5xx): it is broken, or this very question breaks it."""


@dataclass(frozen=True)
class ServerKind:
    """A kind of server, and the words for it.

    name: in the middle of a sentence. kind: one of them, with its article. stream: what its answers are. variable: the
    setting that holds its address. start: what to do where it is missing, in a terminal; start_in_cell: in a notebook;
    start_one: how to start any. unstick: how to free one that answers nobody.
    """

    name: str
    kind: str
    stream: str
    variable: str
    start: str
    start_in_cell: str
    start_one: str
    unstick: str = ""

    def protocol(self, what: str, *, status: int = 200) -> UpstreamProtocol:
        """The error for an answer that is none of this kind of server; `what` came instead of its chat stream."""
        kind = ProxyAnswered if status in _NOBODY else UpstreamProtocol
        return kind(
            f"Expected {self.stream}, got {what}. "
            f"Check that {self.variable} is {self.kind}, not another server or a proxy's page."
        )

    def refused(self, status: int, text: str) -> UpstreamError:
        """The error for a status in the place of an answer, with the server's text about it."""
        kind = ServerFailed if status >= 500 else UpstreamError
        return kind(f"{self.title} refused the request (status {status}): {text}")

    def unreachable(self, url: str) -> UpstreamUnreachable:
        """The error for an address where nothing listens, with what to do there where this runs."""
        start = self.start_in_cell if in_kernel() else self.start
        error = UpstreamUnreachable(f"{self.title} is not running at {url}. {start}")
        error.add_note(_IN_PYTHON)  # which Python shows below a traceback: to who can write it
        return error

    def redirected(self, url: str, status: int) -> UpstreamProtocol:
        """The error for an address that leads on to another one, which is not followed: it may be for one alone."""
        secure = url.replace("http://", "https://").replace(":80/", "/").removesuffix(":80")
        return UpstreamProtocol(
            f"What answers at {url} redirects to another address (status {status}). "
            f"Set {self.variable} to that one, such as {secure}."
        )

    def cut(self) -> UpstreamTruncated:
        """The error for a connection that was lost in the middle of an answer."""
        return UpstreamTruncated(f"The answer broke off: the connection to {self.name} was cut.")

    def truncated(self) -> UpstreamTruncated:
        """The error for an answer that ends like a complete one, and does not say that it is."""
        return UpstreamTruncated(
            f"The answer broke off: {self.name} ended the stream without saying that it was complete."
        )

    def empty(self) -> UpstreamTruncated:
        """The error for an answer that ends before it begins: the server failed after it had said that all is well."""
        return UpstreamTruncated(
            f"{self.title} ended its answer before the first token, without a reason. Its log says more; a prompt that "
            "is too long is a usual one."
        )

    def stalled(self, limit_s: float) -> UpstreamStalled:
        """The error for a silence in the middle of an answer."""
        return UpstreamStalled(f"The answer stopped: {self.name} sent nothing more for {limit_s:g} s. Ask again.")

    def too_slow(self, limit_s: float) -> UpstreamTimeout:
        """The error for a silence before an answer."""
        return UpstreamTimeout(
            f"{self.title} sent nothing for {limit_s:g} s. It may be loading a large model or serving others: "
            f"try again, or raise LLMSTREAM_FIRST_TOKEN_TIMEOUT_S.{self.unstick}"
        )

    def disconnected(self) -> str:
        """The error for a connection that ended before an answer."""
        return f"{self.title} closed the connection without an answer. Ask again."

    @property
    def noun(self) -> str:
        """The name without an article."""
        return self.name.removeprefix("the ")

    @property
    def title(self) -> str:
        """The name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]


_IN_PYTHON = "In Python, a demo answers in its place inside `with llmstream.demo():`."
_IN_CELL = "Run `from llmstream.notebook import ensure_ollama; ensure_ollama()` for a demo in its place,"
OLLAMA = ServerKind(
    name="Ollama",
    kind="an Ollama",
    stream="Ollama's chat stream",
    variable="OLLAMA_HOST",
    start="Start it with `ollama serve`, or a demo in its place with `llmstream demo`.",
    start_in_cell=f"{_IN_CELL} or start it in a terminal with `ollama serve`.",
    start_one="Start one with `ollama serve` (https://ollama.com/download has it)",
    unstick=" If the model answers nobody, `ollama stop` frees it; LLMSTREAM_FREE_STUCK_MODELS=1 has that done.",
)
OPENAI = ServerKind(
    name="the model server",
    kind="an OpenAI-compatible server with its path, such as http://localhost:8000/v1",
    stream="OpenAI's chat stream",
    variable="LLMSTREAM_UPSTREAM",
    start="Start it, set LLMSTREAM_UPSTREAM to where it is, or run with --demo.",
    start_in_cell=f"{_IN_CELL} start it, or set LLMSTREAM_UPSTREAM to where it is.",
    start_one="Start one",
)
