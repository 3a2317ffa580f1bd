"""The wire protocols, each in a folder of its own: its requests, its encoder, its routes. One line here adds one.

Each reads its own form of a request, starts a run over the one chain there is, and shows the run's events in its own
form. What a client asks for and nobody here can do is refused with that dialect's error.
"""

from __future__ import annotations

from llmstream.dialects.agui.routes import AGUI
from llmstream.dialects.ai_sdk.routes import AI_SDK
from llmstream.dialects.anthropic.routes import ANTHROPIC
from llmstream.dialects.langgraph.routes import LANGGRAPH
from llmstream.dialects.native.routes import NATIVE
from llmstream.dialects.ollama.routes import OLLAMA
from llmstream.dialects.openai.routes import OPENAI
from llmstream.dialects.responses.routes import RESPONSES
from llmstream.http import errors
from llmstream.http.errors import ErrorForm

# OpenAI's has an answer for every path under /v1, so what shares its prefix stands before it.
DIALECTS = (NATIVE, ANTHROPIC, RESPONSES, OPENAI, AI_SDK, AGUI, LANGGRAPH, OLLAMA)
NAMES = tuple(dialect.name for dialect in DIALECTS)


def form_at(path: str) -> ErrorForm:
    """The form in which the clients of a path read an error."""
    for dialect in DIALECTS:
        for prefix, form in dialect.forms.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return form
    return errors.NATIVE
