"""Markdown on a terminal: split into blocks while it comes, and laid out with nothing hidden in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from llmstream.view.markdown import BLOCKS, FORMULA, with_all_cells
from llmstream.view.safe import safe_text

# HTML, images, <addresses> and definitions stand as they were written: rich would leave them out, or hide where they
# lead.
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .disable(["image", "autolink", "reference"])
)


def _formula(state: StateInline, silent: bool) -> bool:
    """Keeps a formula as it was written: nothing in it is emphasis, or escaped."""
    match = FORMULA.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.pending += match[0]
    state.pos = match.end()
    return True


_MARKDOWN.inline.ruler.before("escape", "formula", _formula)


def split_blocks(text: str) -> tuple[str, str]:
    """The Markdown blocks that no further text can change, and the rest.

    CommonMark works line by line, and a block is closed for good when the next one begins: a list with blank lines or
    code in it stays one block. (Only a link's definition may come later than its use; it is shown as written.)
    """
    whole = text[: text.rfind("\n") + 1]
    starts = [token.map[0] for token in BLOCKS.parse(whole) if token.level == 0 and token.map and token.nesting >= 0]
    if len(starts) < 2:
        return "", text
    lines = text.split("\n")
    return "\n".join(lines[: starts[-1]]) + "\n", "\n".join(lines[starts[-1] :])


class _Table(TableElement):
    """A table whose cells are folded, where rich would cut them: a long name in one is there to be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            for column in table.columns if isinstance(table, Table) else ():
                column.overflow = "fold"
            yield table


class SafeMarkdown(Markdown):
    """Markdown with links' addresses shown, and nothing but text and our own styles in what is written.

    below: whether something stands above it already. gap: whether that wants a blank line between.
    """

    elements: ClassVar = {**Markdown.elements, "table_open": _Table}

    def __init__(self, markup: str, *, below: bool = False, gap: bool = False) -> None:
        super().__init__("", hyperlinks=False)
        self._below = below
        self._gap = gap
        self.markup = markup
        self.parsed = _MARKDOWN.parse(markup)
        if (whole := with_all_cells(markup, self.parsed)) != markup:
            self.parsed = _MARKDOWN.parse(whole)

    @property
    def ends_in_rule(self) -> bool:
        """True if the last block is a horizontal rule, which brings its own blank line."""
        return bool(self.parsed) and self.parsed[-1].type == "hr"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        try:
            segments = list(self._segments(console, options))
        except Exception:  # whatever a model writes, its answer must not be lost to the layout of it
            segments = list(console.render(Text(self.markup), options))
        # For rich a list or a quote wants a blank line above it even where nothing is.
        own_gap = bool(segments) and segments[0].text == "\n"
        if self._below and (own_gap or self._gap):
            yield Segment.line()
        for line in Segment.split_lines(segments[own_gap:]):
            # Again, for entities: &#x202e; becomes its character only here.
            yield from (Segment(safe_text(segment.text), segment.style) for segment in _trimmed(line))
            yield Segment.line()

    def _segments(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for item in super().__rich_console__(console, options):
            yield from [item] if isinstance(item, Segment) else console.render(item, options)


def _trimmed(line: list[Segment]) -> list[Segment]:
    """The line without the spaces that fill it up, unless they have a colour."""
    for end in range(len(line), 0, -1):
        text, style, _ = line[end - 1]
        if style is not None and (style.bgcolor or style.underline):
            return line[:end]
        if kept := text.rstrip(" "):
            return [*line[: end - 1], Segment(kept, style)]
    return []


def whole_rows(text: str) -> str:
    """An open table without the row that is not complete: its columns would jump with every token."""
    tokens = BLOCKS.parse(text)
    return text[: text.rfind("\n") + 1] if tokens and tokens[0].type == "table_open" else text
