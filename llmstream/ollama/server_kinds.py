"""The kinds of model servers, and how errors name them: Ollama, or one that speaks OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmstream.addresses import asked_in_test
from llmstream.errors import (
    UpstreamError,
    UpstreamProtocol,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.errors.places import in_kernel, in_test

# With these a proxy says that there is nobody behind it.
_NOBODY = (502, 503, 504)


class Disconnected(UpstreamUnreachable):
    """The connection ended before an answer began: the server was restarted or killed, so asking once more may help."""


class ProxyAnswered(UpstreamProtocol):
    """A proxy answered in the place of a server, which seems to be away."""


class ServerFailed(UpstreamError):
    """A server failed before an answer began (status 5xx): it is broken, or this very question breaks it."""


def safe_text(error: object, known: Iterable[str]) -> str:
    """The text of a server's error, where it has one of the known phrases and no path; else an empty one."""
    if not isinstance(error, str) or "/" in error or "\\" in error:
        return ""
    return error[:200] if any(phrase in error for phrase in known) else ""


@dataclass(frozen=True)
class ServerKind:
    """A kind of server, and the words for it.

    name: in the middle of a sentence. kind: one of them, with its article. stream: what its answers are. variable: the
    setting that holds its address. start: what to do where it is missing, in a terminal; start_in_cell: in a notebook;
    start_in_test: in a test of pytest's; start_one: how to start any. unstick: how to free one that answers nobody.
    """

    name: str
    kind: str
    stream: str
    variable: str
    start: str
    start_in_cell: str
    start_in_test: str
    start_one: str
    unstick: str = ""

    def protocol(self, what: str, *, status: int = 200) -> UpstreamProtocol:
        """The error for an answer that is none of this kind of server; `what` came instead of its chat stream."""
        if status in _NOBODY:
            return ProxyAnswered(
                f"A proxy answered with status {status} in the place of {self.name}, which it does not reach. "
                f"See that {self.name} runs, and that {self.variable} is its address."
            )
        return UpstreamProtocol(
            f"Expected {self.stream}, got {what}. "
            f"Check that {self.variable} is {self.kind}, not another server or a proxy's page."
        )

    def refused(self, status: int, text: str) -> UpstreamError:
        """The error for a status in the place of an answer, with the server's text about it."""
        kind = ServerFailed if status >= 500 else UpstreamError
        return kind(f"{self.title} refused the request (status {status}): {text}")

    def unreachable(self, url: str, why: str = "") -> UpstreamUnreachable:
        """The error for an address where nothing answers, with what to do there where this runs.

        why: what a connection failed of, where that says more than that nothing listens.
        """
        if why:
            return UpstreamUnreachable(f"{self.title} can't be reached at {url}: {why}. Check {self.variable}.")
        error = UpstreamUnreachable(f"{self.title} is not running at {url}. {self.remedy()}")
        if not in_test():
            error.add_note(_IN_PYTHON)  # which Python shows below a traceback: to who can write it
        return error

    def remedy(self) -> str:
        """The advice about a server that is missing, for the place where this runs."""
        if in_kernel():
            return self.start_in_cell
        if in_test():
            return _ELSEWHERE.format(asked_in_test[-1]) if asked_in_test else self.start_in_test
        return self.start

    def redirected(self, url: str, status: int) -> UpstreamProtocol:
        """The error for an address that leads on to another one, which is not followed: it may be for one alone."""
        secure = url.replace("http://", "https://").replace(":80/", "/").removesuffix(":80")
        return UpstreamProtocol(
            f"What answers at {url} redirects to another address (status {status}). "
            f"Set {self.variable} to that one, such as {secure}."
        )

    def cut(self) -> UpstreamTruncated:
        """The error for a connection that was lost in the middle of an answer."""
        return UpstreamTruncated(f"The answer broke off: the connection to {self.name} was cut. Ask again.")

    def truncated(self) -> UpstreamTruncated:
        """The error for an answer that ends like a complete one, and does not say that it is."""
        return UpstreamTruncated(
            f"The answer broke off: {self.name} ended it without saying that it was complete. Ask again."
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

    def late(self, url: str, limit_s: float) -> UpstreamTimeout:
        """The error for a server that is there and tells nothing of its models in time."""
        return UpstreamTimeout(
            f"{self.title} at {url} took more than {limit_s:g} s to tell its models. Try again, or start it anew."
        )

    def disconnected(self) -> Disconnected:
        """The error for a connection that ended before an answer."""
        return Disconnected(f"{self.title} closed the connection without an answer. Ask again.")

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
_IN_TEST = "Give the test the fixture `demo_ollama` for a demo in its place,"
_ELSEWHERE = (
    "The test's `demo_ollama` answers at {}: leave out the address of what asked here, or have the test make it."
)
OLLAMA = ServerKind(
    name="Ollama",
    kind="an Ollama",
    stream="Ollama's chat stream",
    variable="OLLAMA_HOST",
    start="Start it with `ollama serve`, or a demo in its place with `llmstream demo`.",
    start_in_cell=f"{_IN_CELL} or start it in a terminal with `ollama serve`.",
    start_in_test=f"{_IN_TEST} or start it with `ollama serve`.",
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
    start_in_test=f"{_IN_TEST} start it, or set LLMSTREAM_UPSTREAM to where it is.",
    start_one="Start one",
)
