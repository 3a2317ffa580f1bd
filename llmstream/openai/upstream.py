"""The model server that the settings name: an Ollama, or one that speaks OpenAI's chat completions."""

from __future__ import annotations

from llmstream.ollama.models import Ollama
from llmstream.ollama.upstream import Upstream
from llmstream.openai.models import OpenAIServer
from llmstream.settings import Settings


def upstream_of(settings: Settings) -> Upstream:
    """The shared instance for what the settings say of the server."""
    return Ollama.of(settings) if settings.upstream is None else OpenAIServer.of(settings)
