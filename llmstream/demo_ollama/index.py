"""Finds the passage of the documentation that answers a question (SQLite FTS5, in memory)."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from llmstream.demo_ollama.passages import Passage
from llmstream.demo_ollama.synonyms import ALIASES, NO_ANSWERS, STOPWORDS

_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.:!?])\s+|\n+")
_MOST_TERMS = 40


class PassageIndex:
    """A full-text index of documentation pages; raises `sqlite3.OperationalError` where SQLite has no FTS5."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = [passage for passage in passages if (passage.source, passage.heading) not in NO_ANSWERS]
        # Built in one thread and used in the server's: the caller takes care that they don't overlap.
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._db.execute("CREATE VIRTUAL TABLE p USING fts5(heading, prose, code, tokenize='porter unicode61')")
        except sqlite3.OperationalError:
            self._db.close()
            raise
        rows = [(n, *_columns(passage)) for n, passage in enumerate(self._passages)]
        self._db.executemany("INSERT INTO p(rowid, heading, prose, code) VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Frees the index."""
        self._db.close()

    def find(self, question: str) -> Passage | None:
        """The passage that answers the question, or None if the pages hardly speak of it.

        The best passage has the most of the question's words, rare words weighing more, and those in its heading three
        times as much; BM25 decides between equals. It answers if it has at least half of the words, and two of them,
        or one in its heading, or one that is the name of a thing in code.
        """
        terms = _terms(question)
        anywhere = {term: self._rows(term) for term in terms}
        in_heading = {term: self._rows(term, "heading :") for term in terms}
        weight = {term: math.log(1 + len(self._passages) / max(1, len(anywhere[term]))) for term in terms}

        def score(row: int) -> float:
            return sum(weight[term] * (3 if row in in_heading[term] else row in anywhere[term]) for term in terms)

        best = max(self._ranked([term for term in terms if anywhere[term]]), key=score, default=None)
        if best is None:
            return None
        hits = [term for term in terms if best in anywhere[term]]
        strong = len(hits) > 1 or any("_" in term or best in in_heading[term] for term in hits)
        enough = sum(weight[term] for term in hits) >= sum(weight.values()) / 2
        return self._passages[best] if strong and enough else None

    def _ranked(self, terms: list[str]) -> list[int]:
        """The rows that have any of the terms, best first."""
        query = " OR ".join(f'"{term}"' for term in terms)
        ranked = "SELECT rowid FROM p WHERE p MATCH ? ORDER BY bm25(p, 8.0, 1.0, 0.3), rowid"
        return self._select(ranked, query) if terms else []

    def _rows(self, term: str, column: str = "") -> set[int]:
        if term.isdigit():
            column = "heading :"  # "7" stands on many pages and answers no question; "421" is the status of an error
        return set(self._select("SELECT rowid FROM p WHERE p MATCH ?", f'{column} "{term}"'))

    def _select(self, sql: str, query: str) -> list[int]:
        with closing(self._db.execute(sql, (query,))) as rows:
            return [row for (row,) in rows]


def _columns(passage: Passage) -> tuple[str, str, str]:
    """The texts to look through. Only the first part of a section goes by its heading: that is where it begins."""
    above = f"{passage.parents} {passage.heading}"
    if not passage.is_first:
        return "", f"{above} {passage.prose}", passage.code
    others = ALIASES.get(passage.source, {}).get(passage.heading, "")
    return f"{passage.heading} {others}", f"{passage.parents} {passage.prose}", passage.code


def last_question(text: str) -> str:
    """The last sentence with a question mark, which is what a prompt with instructions asks; or all of the text."""
    questions = [sentence for sentence in _BETWEEN_SENTENCES.split(text.strip()) if sentence.endswith("?")]
    return questions[-1] if questions else text


def _terms(question: str) -> list[str]:
    return _words(last_question(question)) or _words(question)


def _words(text: str) -> list[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return list(dict.fromkeys(word for word in words if word not in STOPWORDS))[:_MOST_TERMS]
