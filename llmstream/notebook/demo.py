"""The demo Ollama in a notebook, where no other answers."""

from __future__ import annotations

import atexit
import os

from llmstream import concurrency
from llmstream.demo_ollama.server import DemoOllama
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings


def ensure_ollama() -> str:
    """The model that will answer; where no Ollama does, the demo one is started, for the rest of this process.

    `OLLAMA_HOST` then leads to it, for llmstream, `ChatOllama` and the `ollama` package alike; every name is a model
    there. LLMSTREAM_DEMO says whether that may be: auto, never or always. Raises `UpstreamUnreachable`, or
    `ModelNotFound` where an Ollama has no model.
    """
    settings = Settings()
    upstream = concurrency.run(upstream_of(settings))
    if settings.demo == "always" or (settings.demo == "auto" and not concurrency.run(upstream.running())):
        demo = DemoOllama(any_model=True).start()
        atexit.register(demo.close)
        os.environ["OLLAMA_HOST"] = demo.url
        os.environ.pop("LLMSTREAM_OLLAMA_URL", None)
        os.environ.pop("LLMSTREAM_UPSTREAM", None)
        os.environ.pop("LLMSTREAM_MODEL", None)
        told = f"No {upstream.endpoint.server.noun} at {upstream.address}"
        print(f"{told}: the demo answers, from llmstream's own pages.")  # noqa: T201
        settings = Settings()
        upstream = concurrency.run(upstream_of(settings))
    return settings.model or concurrency.run(upstream.choose_model())
