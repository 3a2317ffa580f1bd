"""The download of a model, through the `ollama` package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from llmstream.addresses import plain_ollama_host
from llmstream.errors import ModelNotFound
from llmstream.ollama.endpoint import Endpoint, not_ollama, unreachable

if TYPE_CHECKING:
    import ollama


def pulling(endpoint: Endpoint, model: str) -> Iterator[ollama.ProgressResponse]:
    """The progress of a download; see `Ollama.pull`."""
    import httpx

    with plain_ollama_host():
        import ollama  # which takes 50 ms

    parts = urlsplit(endpoint.url)
    try:
        # It reaches what the reader reaches, by the same user, headers and certificates.
        client = ollama.Client(
            host=endpoint.url,
            timeout=httpx.Timeout(None, connect=endpoint.connect_timeout_s),
            auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
            verify=endpoint.tls,
            headers=dict(endpoint.headers),
            cookies=dict(endpoint.cookies),
            # A download is rare: no connection is kept, so that there is none to close at the end.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # a proxy of the environment is not for Ollama; the reader takes none either
        )
        yield from client.pull(model, stream=True)
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError):
        raise unreachable(endpoint) from None
    except ollama.ResponseError as error:
        raise ModelNotFound(
            f"Ollama could not pull {model!r}: {error.error}. https://ollama.com/library has the names."
        ) from error
    except (httpx.HTTPError, ValueError) as error:
        raise not_ollama(endpoint) from error
