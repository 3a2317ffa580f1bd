"""The strict twin of a model that asks Ollama, which its reader reaches as the model's own client would."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Union, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from llmstream.addresses import asked_in_test, parse_ollama_host, plain_ollama_host, shown_url
from llmstream.chain.chat_model import StrictChatOllama
from llmstream.chain.shared_state import twin
from llmstream.chain.text_model import StrictCommunityOllama, StrictOllamaLLM
from llmstream.errors import SettingsError
from llmstream.ollama.client_kwargs import ollama_with
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings

with plain_ollama_host():
    from langchain_ollama import ChatOllama, OllamaLLM

if TYPE_CHECKING:
    from llmstream.chain.openai_model import StrictChatOpenAI

Strict = Union["StrictChatOllama", "StrictOllamaLLM", "StrictChatOpenAI"]


def strict_of(model: Any) -> Strict | None:
    """The model as one that answers through the strict reader; None for any other, also of somebody's own class."""
    if type(model) is StrictChatOllama:
        return model
    ours = sys.modules.get("llmstream.chain.openai_model")  # where it was not imported, there is none of it
    if ours is not None and type(model) is ours.StrictChatOpenAI:
        return cast("StrictChatOpenAI", model)
    if type(model) in (ChatOllama, OllamaLLM):
        ollama = _server_of_client(model)
        if ollama is None:
            return None
        _ = model._serialized  # noqa: SLF001 - who listens hears of the model that was written
        if type(model) is ChatOllama:
            return twin(model, StrictChatOllama).through(ollama)
        return twin(model, StrictOllamaLLM).through(ollama)
    community = sys.modules.get("langchain_community.llms.ollama")  # where it was not imported, there is none of it
    if community is None or type(model) is not community.Ollama:
        return None
    kwargs = {"headers": model.headers, "auth": model.auth, "timeout": model.timeout}
    ollama = _server_at(model.base_url, {name: value for name, value in kwargs.items() if value is not None})
    return None if ollama is None else StrictCommunityOllama.of(model, ollama)


def _server_of_client(model: Any) -> Ollama | None:
    """The server that a plain model asks, which its client knows; None where our reader would reach it another way."""
    client: Any = model._async_client._client  # noqa: SLF001 - nothing else knows the environment it was made in
    url = str(client.base_url)
    if model.base_url is None and asked_in_test and url.rstrip("/") not in asked_in_test:
        raise SettingsError(
            f"This {type(model).__name__} was made before the test's demo_ollama and would ask {shown_url(url)}: have "
            "the test make it, with its app (importlib.reload makes a module anew)."
        )
    parts = urlsplit(url)
    kwargs = {**(model.client_kwargs or {}), **(model.async_client_kwargs or {})}
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname or ""):
        return None  # its client obeys the environment
    if authorization := client.headers.get("authorization"):  # of the URL, or of the environment
        kwargs["headers"] = {**dict(kwargs.get("headers") or {}), "authorization": authorization}
    return _server_at(url, kwargs)


def _server_at(url: str, kwargs: dict[str, Any]) -> Ollama | None:
    try:
        return ollama_with(Settings().change(ollama_url=parse_ollama_host(url)), kwargs)
    except SettingsError:
        return None
