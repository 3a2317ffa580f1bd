"""The pages of documentation that the demo answers from, cut into passages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark").enable("table").disable("inline")
_LONGEST = 1200
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
# A link to a file beside the page leads nowhere in a chat, and what held only an image is empty.
_DEAD_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)|\[\]\([^)]*\)")
_LINE_END = re.compile(r" *\n *")
_QUOTED = re.compile(r"\"[^\"\n]*\"")
# What a program prints is no documentation: a sample answer about the sky must not be found by a question about it.
_OUTPUT = {"", "text", "txt", "json", "http", "ndjson"}


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a documentation page under one heading.

    source: file name of the page. heading: the nearest heading above it. parents: the headings above that one, joined.
    text: Markdown without the heading, which neither begins with code nor ends in a colon. prose, code: what is looked
    through of the text. is_first: False for a further part of a long section.
    """

    source: str
    heading: str
    parents: str
    text: str
    prose: str
    code: str
    is_first: bool


class _Block(NamedTuple):
    kind: str  # "heading", or the name of a token of markdown-it: "paragraph_open", "fence" …
    info: str  # "h2" of a heading, the language of a fence
    text: str


def split_markdown(text: str, source: str) -> list[Passage]:
    """Splits a page at its headings, and long sections between paragraphs; code and tables stay with their sentence.

    text: Markdown. source: file name, kept in every passage.
    """
    passages: list[Passage] = []
    path: list[tuple[str, str]] = []
    section: list[_Block] = []
    for block in [*_blocks(text.replace("\r\n", "\n")), _Block("heading", "h1", "")]:
        if block.kind != "heading":
            section.append(block)
            continue
        titles = [title for _, title in path] or [""]
        parts = _parts(section)
        passages += [_passage(source, titles, part, is_first=part is parts[0]) for part in parts]
        path = [*(above for above in path if above[0] < block.info), (block.info, block.text)]
        section = []
    return passages


def _blocks(text: str) -> Iterator[_Block]:
    lines = text.split("\n")
    tokens = _MARKDOWN.parse(text)
    for token, inside in zip(tokens, [*tokens[1:], None], strict=True):
        if token.level or token.map is None or token.type == "html_block":
            continue
        raw = "\n".join(lines[slice(*token.map)]).rstrip()
        if token.type == "heading_open" and inside:
            yield _Block("heading", token.tag, inside.content)
        elif token.type in ("fence", "code_block"):
            yield _Block("fence", token.info.strip().lower(), raw)
        elif shown := _DEAD_LINK.sub(r"\1", _IMAGE.sub("", raw)).rstrip():
            # Some surfaces show the ends of lines, which in a page's source are just where the editor was full.
            yield _Block(token.type, "", shown if token.type != "paragraph_open" else _LINE_END.sub(" ", shown))


def _parts(section: list[_Block]) -> list[list[_Block]]:
    """The blocks of a section, in parts of at most `_LONGEST` characters (more only for a large block)."""
    parts: list[list[_Block]] = []
    for paragraph in _with_what_follows(section):
        if parts and sum(len(block.text) for block in [*parts[-1], *paragraph]) <= _LONGEST:
            parts[-1] += paragraph
        else:
            parts.append(paragraph)
    return parts


def _with_what_follows(section: list[_Block]) -> list[list[_Block]]:
    """The paragraphs, each with the code, the tables and the lists behind it."""
    groups: list[list[_Block]] = []
    for block in section:
        if groups and (block.kind != "paragraph_open" or groups[-1][-1].text.endswith(":")):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def _passage(source: str, titles: list[str], blocks: list[_Block], *, is_first: bool) -> Passage:
    text = "\n\n".join(block.text for block in blocks)
    if blocks[0].kind != "paragraph_open":  # code, a table or a list, which only the heading announces
        text = f"{titles[-1] or source}:\n\n{text}"
    prose = " ".join(block.text for block in blocks if block.kind != "fence")
    code = " ".join(block.text for block in blocks if block.kind == "fence" and block.info not in _OUTPUT)
    return Passage(
        source=source,
        heading=titles[-1],
        parents=" ".join(titles[:-1]),
        text=text[:-1] + "." if text.endswith(":") else text,
        prose=_QUOTED.sub(" ", prose),
        code=_QUOTED.sub(" ", code),
        is_first=is_first,
    )


def default_docs() -> list[Path]:
    """The pages packed with llmstream, or those of the repository it runs from, or none."""
    packed = sorted((Path(__file__).parent / "docs").glob("*.md"))
    root = Path(__file__).parents[2]
    readme = root / "README.md"
    # Beside an installed package lie other packages' files; only a repository has our source beside its README.
    in_repository = (root / "pyproject.toml").is_file() and readme.is_file()
    return packed or ([readme, *sorted((root / "docs").glob("*.md"))] if in_repository else [])


def read_passages(pages: Sequence[Path]) -> list[Passage]:
    """The passages of Markdown files; a file that can't be read is left out."""
    passages: list[Passage] = []
    for page in pages:
        try:
            passages += split_markdown(page.read_text(encoding="utf-8", errors="replace"), page.name)
        except OSError:
            continue
    return passages
