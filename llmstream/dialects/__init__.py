"""The endpoints of the standard clients' dialects, for `fastapi.create_router`: OpenAI's, AI SDK's, AG-UI's, Ollama's.

Each reads its own form of a request, starts a run over the one chain there is, and shows the run's events in its own
form. What a client asks for and nobody here can do is refused with that dialect's error.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Response

from llmstream.dialects.agui.routes import agui_router
from llmstream.dialects.ai_sdk.routes import ai_sdk_error, ai_sdk_router
from llmstream.dialects.ollama.routes import ollama_error, ollama_router
from llmstream.dialects.openai.routes import openai_error, openai_router
from llmstream.errors import LlmstreamError
from llmstream.http.service import Service

__all__ = ["PROTOCOLS", "REQUEST_HEADERS", "RESPONSE_HEADERS", "Service", "create_routers", "refusal"]

_ROUTERS = {"openai": openai_router, "ai_sdk": ai_sdk_router, "agui": agui_router, "ollama": ollama_router}
_ERRORS = {"/v1": openai_error, "/api/chat": ai_sdk_error, "/ollama/v1": openai_error, "/ollama": ollama_error}
PROTOCOLS = tuple(_ROUTERS)

# What the clients' packages send from a page of another origin beside the usual, and read there.
_STAINLESS = (
    "Arch", "Async", "Custom-Poll-Interval", "Helper-Method", "Lang", "OS", "Package-Version", "Poll-Helper",
    "Read-Timeout", "Retry-Count", "Runtime", "Runtime-Version", "Timeout",
)  # fmt: skip
REQUEST_HEADERS = (
    "User-Agent",
    "X-Run-Id",
    "OpenAI-Organization",
    "OpenAI-Project",
    *(f"X-Stainless-{name}" for name in _STAINLESS),
)
RESPONSE_HEADERS = ("X-Vercel-AI-UI-Message-Stream", "X-Resumable-Stream-Id", "X-Should-Retry")


def create_routers(service: Service, protocols: Sequence[str] = PROTOCOLS) -> list[APIRouter]:
    """A router for each of these protocols."""
    return [_ROUTERS[name](service) for name in PROTOCOLS if name in protocols]


def refusal(path: str, error: LlmstreamError) -> Response | None:
    """How the dialect at this path tells an error; None where there is none."""
    for prefix, on_error in _ERRORS.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return on_error(error)
    return None
