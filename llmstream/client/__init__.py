"""A client for llmstream's own server: start a run, follow it through cuts, stop it; from another process.

    with Client("http://localhost:8000") as client:
        for event in client.stream_events("What color is the sky?"): ...

`AsyncClient` has the same methods for async code.
"""

from llmstream.client.async_client import AsyncClient
from llmstream.client.sync_client import Client

__all__ = ["AsyncClient", "Client"]
