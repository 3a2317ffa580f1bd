"""The components of a chat page, each as the page wants it."""

from __future__ import annotations

import secrets
from typing import Any

import gradio as gr
from gradio.components.base import get_component_instance

from llmstream.gradio.options import Options
from llmstream.settings import Settings

_LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": r"\[", "right": r"\]", "display": True},
    {"left": r"\(", "right": r"\)", "display": False},
]
IDLE: dict[str, Any] = {"submit_btn": True, "stop_btn": False}
BUSY: dict[str, Any] = {"submit_btn": False, "stop_btn": True}

# Beyond it Gradio makes a file of a text that is pasted, which a model could not read.
_ANY_LENGTH = 10**9
_IN_PLACE = "min(70dvh, 640px)"
_WHAT_THE_WINDOW_HAS_LEFT = 200


def conversation(options: Options) -> Any:
    """The conversation; its class says where the style gives it a height, in Blocks that it was not made in."""
    classes = ["llmstream-chat"] if options.height or options.embed else ["llmstream-chat", "fills"]
    height = options.height or (_WHAT_THE_WINDOW_HAS_LEFT if options.fills else _IN_PLACE)
    return gr.Chatbot(
        show_label=False,
        label="Conversation",
        container=False,
        elem_classes=[*classes, *(["thumbs"] if options.on_like else [])],
        scale=0 if options.height else 1,
        height=height,
        editable="user",
        latex_delimiters=_LATEX,
        buttons=["copy"],
        sanitize_html=True,
        allow_tags=False,
        feedback_options=["Like", "Dislike"] if options.on_like else None,
        layout="bubble",
        allow_file_downloads=False,
        group_consecutive_messages=False,
        placeholder=options.placeholder,
        examples=[{"text": example, "display_text": example} for example in options.examples] or None,
    )


def message_box(options: Options) -> Any:
    """The box for a question; images can be attached where `sources` has "upload"."""
    return gr.MultimodalTextbox(
        value={"text": "", "files": []},
        show_label=False,
        label="Message",
        placeholder="Ask something",
        lines=1,
        max_lines=8,
        autofocus=not options.embed,
        elem_id=f"llmstream-box-{secrets.token_hex(4)}",
        elem_classes="llmstream-box",
        sources=["upload"] if options.multimodal else [],
        file_types=["image"],
        file_count="multiple",
        max_plain_text_length=_ANY_LENGTH,
        **IDLE,
    )


def model_picker() -> Any:
    """The choice of a model."""
    return gr.Dropdown(
        choices=[],
        value=None,
        show_label=False,
        label="Model",
        container=False,
        elem_classes="llmstream-model",
        min_width=120,
    )


def settings_panel(settings: Settings, *, embed: bool) -> list[Any]:
    """The components for system prompt, temperature and thinking: at the page's side, or below an embedded chat."""
    around = gr.Accordion("Settings", open=False, elem_classes="llmstream-panel") if embed else _side()
    with around:
        if not embed:
            gr.Markdown("### Settings")
        system = gr.Textbox(
            label="System prompt",
            placeholder="The model's own",
            lines=4,
            max_lines=12,
            visible=settings.system_prompt is None,  # the operator's own is nobody else's to see
        )
        temperatures = sorted({0.0, 0.3, 0.7, 1.0, 1.5} | {settings.temperature or 0.0})
        temperature = gr.Dropdown(
            label="Temperature",
            choices=[("The model's own", ""), *((f"{value:g}", f"{value:g}") for value in temperatures)],
            value="" if settings.temperature is None else f"{settings.temperature:g}",
            visible="temperature" in settings.allowed_options,
        )
        thinking = gr.Checkbox(label="Think before answering", value=bool(settings.thinking))
    return [system, temperature, thinking]


def _side() -> Any:
    return gr.Sidebar(position="right", open=False, width=300, elem_classes="llmstream-panel")


def additional(options: Options) -> None:
    """Shows the additional inputs that stand nowhere else, as `gr.ChatInterface` does."""
    left = [each for each in options.additional_inputs if not each.is_rendered]
    if left:
        with gr.Accordion("Additional Inputs", open=False):
            for each in left:
                each.render()


def components_of(inputs: Any) -> list[Any]:
    """The components that are given as one or several, each by itself or by its name, as Gradio takes them."""
    given = inputs if isinstance(inputs, list | tuple) else [] if inputs is None else [inputs]
    return [get_component_instance(each) for each in given]
