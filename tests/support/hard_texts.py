"""Texts of which surfaces like to lose something, and whether they did; the list is shared with the React tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "data" / "hard_texts.json"


@dataclass(frozen=True)
class HardText:
    """A text that a model or a person writes.

    words: what a person must be able to read of it, as rendered Markdown. thinking: the same of the folded reasoning.
    formulas: how many of them a surface that sets formulas finds.
    """

    name: str
    text: str
    words: Sequence[str]
    thinking: Sequence[str] = ()
    formulas: int = 0

    def missing(self, shown: str, words: Sequence[str] | None = None) -> list[str]:
        """The words that can't be read in what is shown, wherever its lines and cells are broken."""
        whole = _without_space(shown)
        return [word for word in (self.words if words is None else words) if _without_space(word) not in whole]


def _without_space(text: str) -> str:
    return "".join(text.replace("\ufeff", "").split())


def _load() -> list[HardText]:
    entries: list[dict[str, Any]] = json.loads(_FILE.read_text())
    return [HardText(**entry) for entry in entries]


HARD_TEXTS = _load()
