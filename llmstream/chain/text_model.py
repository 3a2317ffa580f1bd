"""Text models that answer through the strict reader: LangChain's `OllamaLLM`, and the community's `Ollama`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_core.prompt_values import ChatPromptValue
from pydantic import PrivateAttr

from llmstream.addresses import plain_ollama_host
from llmstream.chain.batching import InGroups
from llmstream.chain.request import are_messages
from llmstream.ollama.chunks import Chunk, LastChunk
from llmstream.ollama.models import Ollama
from llmstream.ollama.upstream import Upstream

with plain_ollama_host():
    from langchain_ollama import OllamaLLM


class StrictOllamaLLM(InGroups, OllamaLLM):
    """`langchain_ollama.OllamaLLM`, but answering through the strict reader; `strict_of` makes one."""

    _ollama: Upstream = PrivateAttr()
    _in_groups: bool = PrivateAttr(default=False)

    def upstream(self) -> Upstream:
        """The server this model streams from."""
        return self._ollama

    def body_of(self, value: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The body of the request to Ollama for what the model is given, and what is bound to it."""
        prompt = ChatPromptValue(messages=value) if are_messages(value) else self._convert_input(value)
        return self._body(prompt.to_string(), **kwargs)

    def tells_thinking(self, kwargs: Mapping[str, Any]) -> bool:
        """False: what LangChain makes of a text model's answer is text alone, without its thinking."""
        return False

    def _body(self, prompt: str, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        params = self._generate_params(prompt, stop, **kwargs)
        params["options"] = params["options"].model_dump(exclude_none=True)
        return {key: value for key, value in params.items() if value is not None}

    def _acreate_generate_stream(
        self, prompt: str, stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[Mapping[str, Any] | str]:
        return self._alines(self._body(prompt, stop, **kwargs))

    def _create_generate_stream(
        self, prompt: str, stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[Mapping[str, Any] | str]:
        return self._lines(self._body(prompt, stop, **kwargs))

    def _line_of(self, chunk: Chunk) -> dict[str, Any]:
        message = chunk.message
        line: dict[str, Any] = {"done": bool(chunk.done)}
        if isinstance(chunk, LastChunk):
            names = (name for name in chunk.__struct_fields__ if name not in ("message", "error", "logprobs"))
            line = {name: value for name in names if (value := getattr(chunk, name)) is not None}
        if message is not None and message.thinking:
            line["thinking"] = message.thinking
        return {**line, "response": (message.content if message is not None else None) or ""}


class StrictCommunityOllama(StrictOllamaLLM):
    """`langchain_community.llms.Ollama`, but answering through the strict reader."""

    _original: Any = PrivateAttr()

    @staticmethod
    def of(original: Any, ollama: Ollama) -> StrictCommunityOllama:
        """The model that asks what the original would ask."""
        names = ("model", "name", "cache", "callbacks", "tags", "metadata", "verbose")
        made = StrictCommunityOllama.model_construct(**{name: getattr(original, name) for name in names})
        made._original = original  # noqa: SLF001 - of its own class
        return made.through(ollama)

    def _body(self, prompt: str, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """The body that `_OllamaCommon._acreate_stream` makes (langchain_community/llms/ollama.py)."""
        original = self._original
        if original.stop is not None and stop is not None:
            raise ValueError("`stop` found in both the input and default params.")
        images = kwargs.pop("images", None)
        defaults = original._default_params  # noqa: SLF001 - the one place that knows them
        params = {**defaults, **{key: value for key, value in kwargs.items() if key in defaults}}
        if "options" not in kwargs:
            own = {key: value for key, value in kwargs.items() if key not in defaults}
            params["options"] |= {"stop": original.stop or stop, **own}
        given = {key: value for key, value in params["options"].items() if value is not None}
        body = {"prompt": prompt, "images": images, **params, "options": given}
        return {key: value for key, value in body.items() if value is not None}
