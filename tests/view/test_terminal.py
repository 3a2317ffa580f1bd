"""What reaches a terminal or a pipe of an answer, and what does not."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from llmstream.events import Data, Event, Reasoning, Status, Token, ToolCall, ToolResult
from llmstream.view.terminal import TerminalView
from llmstream.view.terminal_markdown import SafeMarkdown, split_blocks
from tests.support.hard_texts import HARD_TEXTS, HardText
from tests.support.terminal import MARKDOWN, in_pieces

WIDTHS = (1, 7, 20, 40, 80, 200)


def console_of(width: int = 60, height: int = 12, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(), width=width, height=height, force_terminal=terminal, color_system=None,
        markup=False, emoji=False, highlight=False, legacy_windows=False, _environ={},
    )  # fmt: skip


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rendered(text: str, width: int) -> str:
    console = console_of(width)
    console.print(SafeMarkdown(text))
    return without_styles(written(console))


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def screen(text: str) -> str:
    """What a terminal shows after these bytes: of control sequences, those that are used."""
    rows: list[list[str]] = [[]]
    row = column = 0
    for match in re.finditer(r"\x1b\[(\??\d*(?:;\d+)*)([A-Za-z])|([\s\S])", text):
        count, control, char = match.groups()
        if control == "A":
            row -= int(count or 1)
        elif control == "K":
            rows[row] = []
        elif control in ("m", "h", "l"):
            continue
        elif control is not None:
            raise AssertionError(f"an unexpected sequence: {match[0]!r}")
        elif char == "\r":
            column = 0
        elif char == "\n":
            row, column = row + 1, 0
            if row == len(rows):
                rows.append([])
        else:
            rows[row] += " " * (column - len(rows[row]))
            rows[row][column : column + 1] = [char]
            column += 1
    return "\n".join("".join(line).rstrip() for line in rows).strip("\n")


def show(console: Console, *events: Event) -> str:
    with TerminalView(console) as view:
        for event in events:
            view.show(event)
    return screen(written(console))


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").split("\n")]


def test_blocks_are_split_only_where_nothing_can_change() -> None:
    """Whatever has come, the finished blocks and the rest are the text, and what is finished stays a beginning."""
    finished = ""
    for end in range(len(MARKDOWN) + 1):
        done, rest = split_blocks(MARKDOWN[:end])
        assert MARKDOWN[:end] == done + rest
        assert done.startswith(finished)
        finished = done
    assert finished.endswith("    indented\n\n")


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("a\n", ""),
        ("a\n\n", ""),
        ("a\n\nb", ""),
        ("a\n\nb\n", "a\n\n"),
        ("```\na\n\nb\n\n", ""),
        ("- a\n\n- b\n\n", ""),
        ("a\n#", ""),
        ("a\n# b\n", "a\n"),
        ("a\n---\n", ""),
    ],
)
def test_a_block_is_open_until_the_next_one_has_begun(text: str, done: str) -> None:
    """A line that is not complete may still become anything."""
    assert done == split_blocks(text)[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_what_remains_on_the_screen_is_the_rendered_markdown(width: int, size: int) -> None:
    """In whatever pieces it came, the screen shows in the end what rendering the whole text at once shows."""
    console = console_of(width, height=200)
    assert lines_of(rendered(MARKDOWN, width)) == lines_of(show(console, *in_pieces(MARKDOWN, size)))


def test_the_open_block_never_fills_the_screen() -> None:
    """Of a block taller than the screen the end is shown while it comes, and all of it when it is complete."""
    console = console_of(height=6)
    text = "```\n" + "".join(f"{n}\n" for n in range(50)) + "```\n"
    view = TerminalView(console)
    view.show(Token(text))
    live = console_of(height=6)
    live.print(view)
    assert ["47", "48", "49", ""] == [line.strip() for line in written(live).split("\n")][:4]
    assert [str(n) for n in range(50)] == show(console, Token(text)).split()


def test_an_open_table_shows_whole_rows() -> None:
    """The row that is coming is not laid out yet."""
    view, console = TerminalView(console_of()), console_of()
    view.show(Token("| a | b |\n| - | - |\n| 1 | 2 |\n| 3"))
    console.print(view)
    assert "3" not in written(console)
    assert "2" in written(console)


@pytest.mark.parametrize("text", HARD_TEXTS, ids=lambda text: text.name)
@pytest.mark.parametrize("width", [40, 300])
def test_every_word_can_be_read(text: HardText, width: int) -> None:
    """Nothing that a model wrote is lost."""
    assert [] == text.missing(rendered(text.text, width).replace("│", ""))


@pytest.mark.parametrize(
    "text", ["$a_1 * b_1 * c$", r"\(x_1 \le y_1\) and \[ *a* \]", "$$a_1\\,b_1$$", "It costs $5 * 2 and $10 * 2."]
)
def test_formulas_and_prices_stand_as_they_were_written(text: str) -> None:
    """A terminal sets no formulas, and takes nothing out of them."""
    assert text == rendered(text, 80).strip()


def test_cells_behind_the_last_column_are_shown() -> None:
    """A row that has more cells than its table has columns loses none."""
    found = rendered("| a | b |\n|---|---|\n| one | two | three | four |", 80)
    assert "one  two | three | four" == found.splitlines()[-2].strip()


def test_a_long_name_in_a_table_is_folded() -> None:
    """A cell that is wider than there is room goes on in the next line, to the last letter."""
    name = "LLMSTREAM_" + "X" * 60
    found = rendered(f"| a | b |\n|---|---|\n| {name} | what this means for everybody |", 60)
    assert name in "".join(line[:30].strip() for line in found.splitlines())


def test_markup_and_html_are_text() -> None:
    """Neither rich's markup nor HTML nor emoji names mean anything in an answer."""
    assert "[bold]a[/bold] :smile: <b>c</b>" == show(console_of(), Token("[bold]a[/bold] :smile: <b>c</b>"))


def test_links_show_where_they_lead() -> None:
    """A link is text and address; there are no hyperlink sequences, for images neither."""
    console = console_of(width=200)
    shown = show(console, Token("[text](http://a.example/) ![image](http://b.example/) <http://c.example/>"))
    assert "text (http://a.example/) !image (http://b.example/) <http://c.example/>" == shown
    assert "\x1b]8" not in written(console)


def test_entities_can_not_smuggle_controls() -> None:
    """A character that Markdown makes of an entity is judged like any other."""
    assert "ab c" == show(console_of(), Token("a&#x202e;b c"))
    assert not set("\x1b\x9b\x07\r") & set(show(console_of(), Token("&#27;&#x1b;[2J&#x9b;&#7;&#13;x")))


def test_reasoning_stands_dimmed_above_the_answer() -> None:
    """The thought is shown as it was thought, without Markdown, then a blank line, then the answer."""
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system="standard", _environ={})
    shown = show(console, Reasoning("I *think*.\nMore"), Reasoning("."), Token("So **it** is."))
    assert "I *think*.\nMore.\n\nSo it is." == shown
    assert "\x1b[2mI *think*.\x1b[0m" in written(console)


def test_tools_and_sources_are_one_line_each() -> None:
    """What a chain on another server does is told, whatever its arguments hold."""
    events: list[Event] = [
        ToolCall("1", "get\x1b[2J", {"city": "Paris\n\x1b]0;x\x07"}),
        ToolResult("1", "sunny\nwarm"),
        Token("Warm."),
        Data("sources", [{"title": "T\x1b", "url": "http://a.example"}]),
    ]
    expected = "→ get[2J(city='Paris\\n\\x1b]0;x\\x07')\n← sunny warm\n\nWarm.\n\nSource: T http://a.example"
    assert expected == show(console_of(), *events)


def test_status_is_shown_until_text_comes() -> None:
    """What is waited for leaves no trace once the answer is there."""
    console = console_of()
    assert "Here." == show(console, Status("loading", "Loading it\x1b[2J", progress=0.3), Token("Here."))


def test_a_wait_has_a_bar_where_it_is_foretold() -> None:
    """How far it is, in tenths, before what is waited for."""
    view, console = TerminalView(console_of()), console_of()
    view.show(Status("waiting", "Reading the prompt: about 7 s left.", eta_s=7.0, progress=0.3))
    console.print(view)
    assert "███░░░░░░░ Reading the prompt: about 7 s left." == written(console).strip()


def test_no_color_is_honoured() -> None:
    """With NO_COLOR there is no colour in what is written."""
    environ = {"NO_COLOR": "1", "TERM": "xterm-256color"}
    console = Console(file=io.StringIO(), width=60, force_terminal=True, _environ=environ)
    show(console, Token("```python\nx = 1\n```\n"))
    assert not re.search(r"\x1b\[[0-9;]*(3|4|9|10)[0-7][;m]", written(console))


@pytest.mark.parametrize(
    "text", ["> " * 40 + "deep", "- " * 30 + "deep", "|a|\n|-|\n|" + "x" * 300, "[" * 500, "\u200d"]
)
@pytest.mark.parametrize("width", WIDTHS)
def test_odd_markdown_at_any_width_is_shown(text: str, width: int) -> None:
    """Markdown that can't be laid out is shown in some way, and never an error."""
    show(console_of(width, height=200), *in_pieces(text, 50))
