"""The models that a chat page offers, and what it says of the Ollama that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from llmstream.core.generator import as_runnable
from llmstream.core.question.images import takes_images
from llmstream.demo_ollama.stand_in import DEMO
from llmstream.errors import LlmstreamError
from llmstream.http.audience import is_public
from llmstream.ollama.names import same_model
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.runs.input_limits import is_allowed
from llmstream.runs.manager import Runs
from llmstream.runs.redacted_failures import plain_error, plain_notice

# How often the page looks for a missing Ollama, in seconds.
_LOOK_EVERY_S = 5.0

# In the place of a model where there is none; the notice has the command that helps.
_NO_MODEL = "No model yet: see above"

# Of every event: nothing for programs (they have the HTTP API), no spinner.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**QUIET, "queue": False}


class Models:
    """Keeps a page's choice of models as it is in Ollama, and what they can: to think, to see.

    notice: gives what there is to say, or None. box: where images are attached. multimodal: whether they are; None for
    where the model can see.
    """

    def __init__(
        self, runs: Runs, notice: Callable[[], str | None], *, box: Any, multimodal: bool | None = None
    ) -> None:
        self._runs = runs
        self._notice_text = notice
        self._box = box
        self._multimodal = multimodal

    def offer(self, blocks: Any, picker: Any, notice: Any, thinking: Any) -> None:
        """Fill these components when the page is loaded, and again until an Ollama answers."""
        timer = gr.Timer(_LOOK_EVERY_S, active=False)
        shown = [picker, notice, timer, thinking, self._box]
        look = {**AT_ONCE, "preprocess": False}
        blocks.load(self._look, [picker], shown, **look)
        timer.tick(self._look, [picker], shown, **look)
        picker.input(self._picked, [picker], [thinking, self._box], **look)

    def look_at(self, chain: object, blocks: Any) -> None:
        """Has the page take images, when it is loaded, where the model of somebody's own chain sees them."""

        async def look() -> Any:
            return self._images(taken=await takes_images(as_runnable(chain)))

        if self._multimodal is None:
            blocks.load(look, None, [self._box], **AT_ONCE)

    async def _look(self, picked: Any, request: gr.Request) -> tuple[Any, Any, Any, Any, Any]:
        """The models there are, what should be known of the Ollama that answers, whether to look again."""
        settings = self._runs.settings
        public = is_public(settings, request.request.scope if request.request is not None else None)
        notice = self._notice_text()
        if public and notice and notice.startswith(DEMO):
            notice = plain_notice(is_demo=True)
        names: list[str] = []
        chosen: str | None = None
        try:
            upstream = await upstream_of(settings)
            names = [model.name for model in await upstream.models() if is_allowed(model.name, settings)]
            if settings.model and not any(same_model(name, settings.model) for name in names):
                names.insert(0, settings.model)  # asking it tells how to get it
            wanted = picked or settings.model or await upstream.choose_model()
            away = upstream.notice
            notice = notice or (plain_notice(is_demo=False) if public and away else away)
            chosen = next((name for name in names if same_model(name, wanted)), names[0] if names else None)
        except LlmstreamError as error:
            notice = notice or (plain_error(error) if public else error).message
        return (
            gr.update(choices=[(name, name) for name in names] or [(_NO_MODEL, "")], value=chosen or ""),
            gr.update(value=notice or "", visible=bool(notice)),
            gr.Timer(active=bool(notice)),
            *await self._picked(chosen),
        )

    async def _picked(self, name: Any) -> tuple[Any, Any]:
        """Shows the choice of thinking for a model that can think, and takes images for one that can see."""
        try:
            upstream = await upstream_of(self._runs.settings)
            able = await upstream.capabilities(name) if isinstance(name, str) else frozenset()
        except LlmstreamError:
            able = frozenset()
        can_think = "thinking" in able
        thinking = gr.update(visible=can_think, value=can_think and bool(self._runs.settings.thinking))
        return thinking, self._images(taken="vision" in able)

    def _images(self, *, taken: bool) -> Any:
        return gr.skip() if self._multimodal is not None else gr.update(sources=["upload"] if taken else [])
