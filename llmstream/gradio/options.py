"""The choices of who makes a chat page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmstream.errors import SettingsError
from llmstream.gradio.likes import OnLike
from llmstream.http.prepare import Prepare


@dataclass(frozen=True, kw_only=True)
class Options:
    """The choices for one page; see `create_chat`, which has them by the same names.

    multimodal: True, False, or None for where the model can see. fills: whether the chat has what the window has left.
    """

    title: str | None
    description: str | None
    examples: Sequence[str]
    height: int | str | None
    embed: bool
    fills: bool
    multimodal: bool | None
    additional_inputs: Sequence[Any]
    save_history: bool
    api_name: str | None
    answer_nodes: Sequence[str]
    prepare: Prepare | None
    on_like: OnLike | None
    placeholder: str = "**Ask something.** Answers can be wrong; check what matters."

    def __post_init__(self) -> None:
        if self.additional_inputs and self.prepare is None:
            raise SettingsError(
                "additional_inputs reach the chain through prepare: give a prepare, which finds them in asked.inputs."
            )
        labels = self.labels
        if "" in labels or len(set(labels)) < len(labels):
            raise SettingsError(
                f"Each of additional_inputs needs a label of its own, by which prepare knows it: {labels}."
            )

    @property
    def labels(self) -> list[str]:
        """The names of the additional inputs in `asked.inputs`."""
        return [str(each.label or "") for each in self.additional_inputs]
