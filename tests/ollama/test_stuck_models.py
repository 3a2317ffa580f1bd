"""A model that is loaded and answers nobody: freed where the settings allow it."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.errors import LlmstreamError, UpstreamTimeout
from llmstream.ollama.client_kwargs import ollama_with
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings


async def ask(ollama: Ollama, model: str) -> LlmstreamError:
    """The error that a question ends with."""
    with pytest.raises(LlmstreamError) as raised:
        await ollama.chat({"model": model, "messages": [{"role": "user", "content": "q"}]}, lambda chunks: None)
    return raised.value


@pytest.mark.parametrize("client_kwargs", [{}, {"headers": {"x-tenant": "a"}}])
@pytest.mark.parametrize("free", [True, False])
async def test_stuck_model_is_unloaded(upstream: DemoOllama, free: bool, client_kwargs: dict[str, object]) -> None:
    """The one who waited is told; the model is unloaded only where that is allowed, else how to do it is said."""
    settings = Settings(ollama_url=upstream.url, first_token_timeout_s=0.3, free_stuck_models=free)
    ollama = ollama_with(settings, client_kwargs)
    upstream.answers["q"] = [Pause(60), "late"]
    model = next(iter(upstream.models))
    error = await ask(ollama, model)
    assert isinstance(error, UpstreamTimeout)
    assert ("unloaded" if free else "`ollama stop`") in error.message
    assert free != await ollama.loaded(model)


async def test_model_that_is_not_loaded_is_left_alone(upstream: DemoOllama) -> None:
    """A server that is silent while it loads a model is not asked to unload it."""
    settings = Settings(ollama_url=upstream.url, first_token_timeout_s=0.3, free_stuck_models=True)
    error = await ask(Ollama.of(settings), "demo:silent")
    assert "LLMSTREAM_FIRST_TOKEN_TIMEOUT_S" in error.message
    assert ["/api/chat", "/api/ps"] == [each.path for each in upstream.requests]
