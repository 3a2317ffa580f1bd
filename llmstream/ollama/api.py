"""Ollama's API without the chat stream and the lists, asked through the `ollama` package.

Its client is synchronous here and runs in threads: one client serves every event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llmstream.addresses import plain_ollama_host
from llmstream.concurrency import questions
from llmstream.errors import ModelNotFound, UpstreamError, UpstreamTimeout
from llmstream.ollama.endpoint import Endpoint, not_ollama, unreachable
from llmstream.ollama.response import model_not_found

if TYPE_CHECKING:
    import ollama

TIMEOUT_S = 10.0


class Api:
    """The API of one Ollama, as the `ollama` package knows it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._clients: dict[float | None, ollama.Client] = {}

    async def ask(
        self, question: Callable[[ollama.Client], Any], *, model: str = "", timeout_s: float = TIMEOUT_S
    ) -> Any:
        """The result of `question`, called with the client in a thread; model: the one that it is about, if any.

        Raises `UpstreamError`s, and `ModelNotFound` for the model.
        """

        def ask() -> Any:
            with _translated(self._endpoint, model):
                return question(self._client(timeout_s))

        return await questions.run(ask)

    def pull(self, model: str) -> Iterator[ollama.ProgressResponse]:
        """The progress of a download; see `Ollama.pull`."""
        with _translated(self._endpoint, model):
            try:
                yield from self._client().pull(model, stream=True)
            except _package().ResponseError as error:
                raise ModelNotFound(f"Ollama could not pull {model!r}: {error.error}") from error

    def _client(self, timeout_s: float | None = None) -> ollama.Client:
        client = self._clients.get(timeout_s)
        if client is None:
            self._clients[timeout_s] = client = _new_client(self._endpoint, timeout_s)
        return client


def _new_client(endpoint: Endpoint, timeout_s: float | None) -> ollama.Client:
    """A client that reaches what the reader reaches, by the same user, headers and certificates."""
    import httpx

    parts = urlsplit(endpoint.url)
    client: ollama.Client = _package().Client(
        host=endpoint.url,
        timeout=httpx.Timeout(timeout_s, connect=endpoint.connect_timeout_s),
        auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
        verify=endpoint.tls,
        headers=dict(endpoint.headers),
        cookies=dict(endpoint.cookies),
        # These questions are rare: no connection is kept, so that there is none to close at the end.
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,  # a proxy of the environment is not for Ollama; the reader takes none either
    )
    return client


def _package() -> ModuleType:
    """The `ollama` package, which takes 50 ms to import."""
    with plain_ollama_host():
        import ollama
    return ollama


@contextmanager
def _translated(endpoint: Endpoint, model: str) -> Iterator[None]:
    """Raises our error for each that the `ollama` package raises in the block."""
    import httpx

    ollama = _package()

    try:
        yield
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError) as error:
        raise unreachable(endpoint) from error
    except httpx.TimeoutException as error:
        raise UpstreamTimeout(f"Ollama at {endpoint.shown_url} did not answer in time. Is it overloaded?") from error
    except ollama.ResponseError as error:
        if error.status_code in (400, 404) and model:  # 400: no model can have this name
            raise model_not_found(model) from error
        raise UpstreamError(f"Ollama answered with status {error.status_code}. Its log says more.") from error
    except (httpx.HTTPError, ValueError) as error:
        raise not_ollama(endpoint) from error
