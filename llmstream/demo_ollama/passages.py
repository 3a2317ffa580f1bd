"""Finds the passage of the documentation that answers a question (SQLite FTS5, in memory)."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 1800
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*([\w-]*)")
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BADGES = re.compile(r"^\s*(\[?!\[[^\]]*\]\([^)]*\)(\]\([^)]*\))?\s*)+$", re.MULTILINE)
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
# What a program prints is no documentation: a sample answer about the sky must not be found by a question about it.
_OUTPUT = {"", "text", "txt", "json", "http", "ndjson"}
_STOPWORDS = frozenset(
    _WORD.findall(
        "a about an and any are as at be been but by can could did do does for from get give go had has have hello "
        "help her here hey hi him his how i if in into is it its just know let like make many may me might more "
        "most much must my need no not of on one or our out please say should show so some tell than thank thanks "
        "that the their them then there these they this to too up us use using want was we were what when where "
        "which who why will with would yes you your good morning evening bye goodbye am im ok okay "
    )
)
_MOST_TERMS = 40


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a documentation page under one heading.

    Args:
        source: File name of the page.
        heading: The nearest heading above it.
        parents: The headings above that one, joined.
        text: Markdown, without the heading.
    """

    source: str
    heading: str
    parents: str
    text: str


def split_markdown(text: str, source: str) -> list[Passage]:
    """Splits a page at its headings, and long sections at their paragraphs; code blocks stay whole.

    Args:
        text: Markdown.
        source: File name, kept in every passage.
    """
    text = _BADGES.sub("", _COMMENT.sub("", text.replace("\r\n", "\n")))
    passages: list[Passage] = []
    path: list[tuple[int, str]] = []
    for level, heading, body in _sections(text):
        if level:
            path = [item for item in path if item[0] < level] + [(level, heading)]
        parents = " ".join(title for _, title in path[:-1])
        passages += [Passage(source, heading, parents, part) for part in _parts(body)]
    return passages


def _sections(text: str) -> Iterator[tuple[int, str, str]]:
    lines: list[str] = []
    level, heading, fence = 0, "", ""
    for line in text.split("\n"):
        fence = _fence_after(line, fence)
        match = None if fence else _HEADING.match(line)
        if match:
            yield level, heading, "\n".join(lines)
            level, heading, lines = len(match[1]), match[2], []
        else:
            lines.append(line)
    yield level, heading, "\n".join(lines)


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after this line, empty if none is."""
    match = _FENCE.match(line)
    if not match:
        return fence
    if not fence:
        return match[1]
    closes = match[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _parts(body: str) -> list[str]:
    """The blocks of a section, packed into parts of at most ``_LONGEST`` characters (more only for one large block)."""
    parts: list[str] = []
    for block in _blocks(body):
        # A code block belongs to the sentence before it.
        joins = parts and (_FENCE.match(block) or len(parts[-1]) + len(block) <= _LONGEST)
        if joins:
            parts[-1] += "\n\n" + block
        else:
            parts.append(block)
    return parts


def _blocks(body: str) -> list[str]:
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in body.split("\n"):
        was, fence = fence, _fence_after(line, fence)
        opens = fence and not was
        if opens or not (line.strip() or was):
            blocks.append([])
        if line.strip() or was:
            blocks[-1].append(line)
        if was and not fence:
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]


def _prose_and_code(text: str) -> tuple[str, str]:
    """What to index of a passage; quoted text is left out: it holds examples of questions and answers."""
    prose, code = [], []
    for block in _blocks(text):
        fence = _FENCE.match(block)
        if not fence:
            prose.append(block)
        elif fence[2].lower() not in _OUTPUT:
            code.append(block.partition("\n")[2])
    return _QUOTED.sub(" ", "\n".join(prose)), _QUOTED.sub(" ", "\n".join(code))


class PassageIndex:
    """A full-text index of documentation pages.

    Args:
        passages: What can be found.

    Raises:
        sqlite3.OperationalError: This Python's SQLite has no FTS5.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = list(passages)
        # Built in one thread and used in the server's: the caller takes care that they don't overlap.
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._db.execute("CREATE VIRTUAL TABLE p USING fts5(heading, prose, code, tokenize='porter unicode61')")
        except sqlite3.OperationalError:
            self._db.close()
            raise
        rows = [(n, p.heading, *_prose_and_code(f"{p.parents}\n\n{p.text}")) for n, p in enumerate(self._passages)]
        self._db.executemany("INSERT INTO p(rowid, heading, prose, code) VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Frees the index."""
        self._db.close()

    def find(self, question: str) -> Passage | None:
        """The passage that answers the question, or None if the pages hardly speak of it.

        A passage answers if it has at least half of the question's words, rare words weighing more, and
        two of them, or one in its heading, or one that is the name of a thing in code.
        """
        terms = _terms(question)
        found = {term: self._rows(term) for term in terms}
        known = [term for term in terms if found[term]]
        if not known:
            return None
        weight = {term: math.log(1 + len(self._passages) / max(1, len(found[term]))) for term in terms}
        total = sum(weight.values())
        for row in self._best_rows(known):
            hits = [term for term in known if row in found[term]]
            strong = len(hits) > 1 or any("_" in term or row in self._rows(term, "heading") for term in hits)
            if strong and sum(weight[term] for term in hits) >= total / 2:
                return self._passages[row]
        return None

    def _best_rows(self, terms: list[str]) -> list[int]:
        query = " OR ".join(f'"{term}"' for term in terms)
        order = "SELECT rowid FROM p WHERE p MATCH ? ORDER BY bm25(p, 8.0, 3.0, 1.0), rowid LIMIT 8"
        return self._select(order, query)

    def _rows(self, term: str, column: str = "") -> set[int]:
        if term.isdigit():
            return set()  # "7" stands on many pages and answers no question
        query = f'{column} : "{term}"' if column else f'"{term}"'
        return set(self._select("SELECT rowid FROM p WHERE p MATCH ?", query))

    def _select(self, sql: str, query: str) -> list[int]:
        with closing(self._db.execute(sql, (query,))) as rows:
            return [row for (row,) in rows]


def _terms(question: str) -> list[str]:
    words = (word.lower() for word in _WORD.findall(question))
    return list(dict.fromkeys(word for word in words if word not in _STOPWORDS))[:_MOST_TERMS]


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
