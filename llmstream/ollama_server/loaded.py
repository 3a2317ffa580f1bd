"""The models that a server like Ollama holds in memory, and until when."""

from __future__ import annotations

import time
from typing import Any

from llmstream.ollama_server.backend import Model
from llmstream.ollama_server.lines import rfc3339

_DEFAULT_KEEP_ALIVE_S = 300.0
_FOR_EVER_S = 100 * 365 * 86_400.0


FAMILY = "llmstream"
# Of every model, as in `/api/tags`, `/api/ps` and `/api/show`: none is a file of weights.
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": FAMILY,
    "families": [FAMILY],
    "parameter_size": "0",
    "quantization_level": "none",
}


class LoadedModels:
    """The list behind `/api/ps`. Loading takes no time and no memory here; the list is what clients look at."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[Model, int, float]] = {}

    def load(self, model: Model, *, context_length: int, keep_alive_s: float | None) -> None:
        """Notes that the model is in memory.

        context_length: tokens a prompt may have. keep_alive_s: seconds from now; negative for ever; None for the
        default of five minutes.
        """
        seconds = _DEFAULT_KEEP_ALIVE_S if keep_alive_s is None else keep_alive_s
        expires_at = time.time() + (_FOR_EVER_S if seconds < 0 else min(seconds, _FOR_EVER_S))
        self._loaded[model.name] = (model, context_length, expires_at)

    def unload(self, model: Model) -> None:
        """Notes that the model is no longer in memory."""
        self._loaded.pop(model.name, None)

    def to_json(self) -> dict[str, Any]:
        """The body of `/api/ps`."""
        now = time.time()
        alive = [entry for entry in self._loaded.values() if entry[2] > now]
        return {"models": [_entry_json(*entry) for entry in alive]}


def _entry_json(model: Model, context_length: int, expires_at: float) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "size": model.size_bytes,
        "digest": model.digest,
        "details": DETAILS,
        "expires_at": rfc3339(int(expires_at * 1e9)),
        "size_vram": 0,
        "context_length": context_length,
    }
