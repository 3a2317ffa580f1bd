"""The Gradio surface: a chat page over any chain, to be launched by itself or mounted in an app.

Every answer is a run of the shared `Runs`; see `llmstream.gradio_turns` for how it is followed and stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmstream.core.generator import as_runnable
from llmstream.runs.manager import Runs
from llmstream.settings import Settings

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI


try:
    from llmstream.gradio.app import Chat, chat_in
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "gradio":
        raise
    raise ImportError('The chat page needs Gradio: pip install "llmstream-toolkit[gradio]"', name="gradio") from None


__all__ = ["create_chat", "mount_chat"]

# A model can answer them, and so can the demo where there is none.
EXAMPLES = ("What color is the sky?", "What are server-sent events?", "How do I include a router in a FastAPI app?")


def create_chat(
    chain: object = None,
    *,
    settings: Settings | None = None,
    runs: Runs | None = None,
    answer_nodes: Sequence[str] = (),
    title: str = "llmstream",
    description: str | None = None,
    examples: Sequence[str] = EXAMPLES,
    theme: Any = None,
    notice: Callable[[], str | None] | None = None,
) -> Chat:
    """A chat page as a `gr.Blocks`: `.launch()` it, or `mount_chat` it; or put it into Blocks of your own.

    chain: any LangChain Runnable; None is the default chain, with a model picker and a panel of settings.
    settings: None reads the environment. runs: shared with other surfaces; None makes new ones, and starts the demo
    Ollama where `settings.demo` says so and none answers. answer_nodes: see `astream`.
    title, description: Markdown over the conversation. examples: questions to click on.
    theme: a Gradio theme; None is a plain one that loads no fonts. notice: what to say above the page at the moment.
    """
    own_runs = runs is None
    return Chat(
        runs or Runs(settings),
        None if chain is None else as_runnable(chain),
        answer_nodes=answer_nodes,
        own_runs=own_runs,
        notice=notice,
        theme=theme,
        texts={
            "title": title,
            "description": description,
            "examples": tuple(examples),
            "placeholder": "**Ask something.** Answers can be wrong; check what matters.",
        },
    )


def mount_chat(app: FastAPI, chat: gr.Blocks, path: str = "/gradio") -> None:
    """Adds a page to a FastAPI app, with the app's own lifespan going on as before.

    chat: what `create_chat` gave, or the Blocks it was put into.
    It stands behind the doors of `llmstream.security` (allowed hosts and origins, token), the app's or its own.
    Raises ValueError where there is no chat of ours in it.
    """
    found = chat_in(chat)
    if found is None:
        raise ValueError("mount_chat mounts what create_chat gave, or Blocks that hold it; these Blocks hold no chat.")
    found.mount(app, path, None if found is chat else chat)
