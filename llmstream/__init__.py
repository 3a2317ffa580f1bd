"""Streams an LLM's answer from Python to people: one generator, every surface.

Importing this package loads no framework; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "LlmstreamError": "errors",
    "Runs": "runs.manager",
    "Settings": "settings",
    "astream": "core.api",
    "astream_events": "core.api",
    "demo": "demo_ollama.server",
    "open_chain": "chain",
    "stream": "core.api",
    "stream_events": "core.api",
}

__all__ = [
    "LlmstreamError",
    "Runs",
    "Settings",
    "astream",
    "astream_events",
    "demo",
    "open_chain",
    "stream",
    "stream_events",
]

if TYPE_CHECKING:
    from llmstream.chain import open_chain
    from llmstream.core.api import astream, astream_events, stream, stream_events
    from llmstream.demo_ollama.server import demo
    from llmstream.errors import LlmstreamError
    from llmstream.runs.manager import Runs
    from llmstream.settings import Settings


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'llmstream' has no attribute {name!r}")
    return getattr(importlib.import_module(f"llmstream.{_HOME[name]}"), name)


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext llmstream`: registers the magics `%%llm` and `%llm` of `llmstream.notebook`."""
    importlib.import_module("llmstream.notebook").load_ipython_extension(ipython)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
