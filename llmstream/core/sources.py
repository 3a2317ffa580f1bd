"""The documents that an answer was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from langchain_core.documents import Document

from llmstream.core.emitter import Emitter
from llmstream.events import Data, json_value

_EXCERPT = 300


class Sources:
    """Tells documents, each once. Held, they wait for `tell`: a graph may still choose among them."""

    def __init__(self, emitter: Emitter) -> None:
        self.held = False
        self._emitter = emitter
        self._waiting: list[Document] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, documents: object) -> None:
        """Adds documents that were found; ignores any other value."""
        if are_documents(documents):
            self._waiting += documents
            if not self.held:
                self.tell()

    def replace(self, documents: Sequence[Document]) -> None:
        """Replaces the documents that were found on the way by these."""
        self._waiting = list(documents)

    def tell(self) -> None:
        """Tells the documents that wait."""
        fresh = []
        for document in self._waiting:
            key = document.page_content, repr(sorted(document.metadata.items(), key=str))
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(_source(document))
        self._waiting = []
        if fresh:
            self._emitter.emit([Data("sources", fresh)])


def are_documents(value: object) -> TypeGuard[Sequence[Document]]:
    """True if a value is a list of documents, at least one."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Document) for item in value)


def _source(document: Document) -> dict[str, Any]:
    """A document as a client is told of it: title, url (http only) and excerpt; no paths."""
    known = document.metadata
    origin = str(known.get("url") or known.get("source") or "")
    is_url = urlsplit(origin).scheme in ("http", "https")
    name = origin.rstrip("/").replace("\\", "/").rpartition("/")[2]
    text = " ".join(document.page_content.split())
    source = {
        "title": str(known.get("title") or name or "Untitled"),
        "url": origin if is_url else None,
        "excerpt": text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else ""),
    }
    return {key: json_value(value) for key, value in source.items()}
