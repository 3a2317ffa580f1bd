"""A question, and a model that knows the answer."""

from __future__ import annotations

from typing import Any

from llmstream.chain import StrictChatOllama

SKY = "What color is the sky?"


def model(name: str = "demo:one-chunk", **fields: Any) -> StrictChatOllama:
    """A model that says `SENTENCE`."""
    return StrictChatOllama(model=name, **fields)
