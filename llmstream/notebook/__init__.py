"""The notebook surface: answers that stream into a cell, the magics `%%llm` and `%llm`, and a chat panel.

Works in JupyterLab, Notebook, VS Code and Colab, and headless under nbclient and papermill. What is saved is Markdown
and plain text.
"""

from __future__ import annotations

from typing import Any

try:
    from llmstream.notebook.answer import Answer
    from llmstream.notebook.chat import Chat
    from llmstream.notebook.demo import ensure_ollama
    from llmstream.notebook.magic import register
    from llmstream.notebook.show import show, show_sync
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("IPython", "ipywidgets"):
        raise
    raise ImportError('Notebooks need ipywidgets: pip install "llmstream-toolkit[notebook]"', name=error.name) from None


__all__ = ["Answer", "Chat", "ensure_ollama", "load_ipython_extension", "show", "show_sync"]


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext llmstream`: registers the magics `%%llm` and `%llm`."""
    register(ipython)
