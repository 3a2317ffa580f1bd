"""The endpoints of the standard clients' dialects, for `fastapi.create_router`: OpenAI's, AI SDK's, AG-UI's, Ollama's.

Each reads its own form of a request, starts a run over the one chain there is, and shows the run's events in its own
form. What a client asks for and nobody here can do is refused with that dialect's error.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from llmstream.dialects.agui import agui_router
from llmstream.dialects.ai_sdk import ai_sdk_router
from llmstream.dialects.ollama import ollama_router
from llmstream.dialects.openai import openai_router
from llmstream.dialects.service import Service

__all__ = ["PROTOCOLS", "Service", "create_routers"]

_ROUTERS = {"openai": openai_router, "ai_sdk": ai_sdk_router, "agui": agui_router, "ollama": ollama_router}
PROTOCOLS = tuple(_ROUTERS)


def create_routers(service: Service, protocols: Sequence[str] = PROTOCOLS) -> list[APIRouter]:
    """A router for each of these protocols."""
    return [_ROUTERS[name](service) for name in PROTOCOLS if name in protocols]
