"""The Gradio surface: a chat page over any chain, to be launched by itself or mounted in an app.

Every answer is a run of the shared `Runs`; see `llmstream.gradio.active_answers` for how it is followed and stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmstream.core.generator import as_runnable
from llmstream.errors import SettingsError
from llmstream.errors.nearest import names_nearest
from llmstream.http.prepare import Prepare
from llmstream.runs.manager import Runs
from llmstream.settings import Settings

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI


try:
    from llmstream.gradio.app import Chat, chat_in, fills_window, is_inside_blocks
    from llmstream.gradio.components import components_of
    from llmstream.gradio.likes import Like, OnLike
    from llmstream.gradio.options import Options
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "gradio":
        raise
    raise ImportError('The chat page needs Gradio: pip install "llmstream-toolkit[gradio]"', name="gradio") from None


__all__ = ["Like", "create_chat", "mount_chat"]

# A model can answer them, and so can the demo where there is none.
EXAMPLES = ("What color is the sky?", "What are server-sent events?", "How do I include a router in a FastAPI app?")


@names_nearest
def create_chat(
    chain: object = None,
    *,
    settings: Settings | None = None,
    runs: Runs | None = None,
    answer_nodes: Sequence[str] = (),
    prepare: Prepare | None = None,
    title: str | None = None,
    description: str | None = None,
    examples: Sequence[str] | None = None,
    multimodal: bool | None = None,
    additional_inputs: Any = None,
    save_history: bool = False,
    api_name: str | None = None,
    on_like: OnLike | None = None,
    height: int | str | None = None,
    embed: bool | None = None,
    theme: Any = None,
    notice: Callable[[], str | None] | None = None,
) -> Chat:
    """A chat page as a `gr.Blocks`: `.launch()` it, or `mount_chat` it; or put it into Blocks of your own.

    chain: any LangChain Runnable; None is the default chain, with a model picker and a panel of settings.
    settings: None reads the environment. runs: shared with other surfaces; None makes new ones, and starts the demo
    Ollama where `settings.demo` says so and none answers. answer_nodes: see `astream`.
    prepare: (request, what is asked) → the `Prepared` values that a chain of one's own is given beside the question.
    title, description: Markdown over the conversation. examples: questions to click on; None is some
    that the demo answers, too, and none for a chain of one's own.
    multimodal: whether images can be attached; None is for where the model can see, as far as the chain shows it.
    additional_inputs: a component or several, as `gr.ChatInterface` has them, for a `prepare`, which finds their values
    in `asked.inputs` by their labels.
    save_history: whether the browser keeps the conversation, so that it comes back after a reload.
    api_name: the name of an endpoint for programs; None offers none. on_like: called with a `Like` for each thumb.
    height: of the conversation, in pixels or CSS; None is what the window has left, or most of it.
    embed: whether it is a part of a page, without a title, unless one is given, and a switch for light and dark; None
    is for where it is made inside Blocks.
    theme: a Gradio theme; None is a plain one that loads no fonts. notice: what to say above the page at the moment.
    Raises `SettingsError` for what does not go together.
    """
    if prepare is not None and chain is None:
        raise SettingsError("prepare belongs to a chain of your own: give one, or leave prepare out.")
    is_embedded = is_inside_blocks() if embed is None else embed
    options = Options(
        title=title or (None if is_embedded else "llmstream"),
        description=description,
        examples=EXAMPLES if examples is None and chain is None else tuple(examples or ()),
        height=height,
        embed=is_embedded,
        fills=not is_embedded or fills_window(),
        multimodal=multimodal,
        additional_inputs=components_of(additional_inputs),
        save_history=save_history,
        api_name=api_name,
        answer_nodes=answer_nodes,
        prepare=prepare,
        on_like=on_like,
    )
    own = None if chain is None else as_runnable(chain)
    return Chat(runs or Runs(settings), own, options, own_runs=runs is None, notice=notice, theme=theme)


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
