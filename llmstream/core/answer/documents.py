"""The documents that an answer was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from langchain_core.documents import Document

from llmstream.core.answer.emitter import Emitter
from llmstream.events import Data, json_value

_EXCERPT = 300


@dataclass
class _Told:
    """A document that was told; message: with which one. others: the messages after it that were made of it as well.

    is_shown: whether it was not taken back with its message.
    """

    document: Document
    message: str | None
    others: set[str | None]
    is_shown: bool = True


class Sources:
    """Tells documents, each once. Held, they wait for `tell`: a graph may still choose among them."""

    def __init__(self, emitter: Emitter) -> None:
        self.held = False
        self.given: Sequence[Document] = ()  # what the chain was given is no find of its own
        self.is_news = False  # since it was last set to False
        self._emitter = emitter
        self._waiting: list[Document] = []
        self._is_chosen = False
        self._told: dict[tuple[str, str], _Told] = {}

    def add(self, documents: object) -> None:
        """Adds documents that were found; ignores any other value."""
        if are_documents(documents):
            self.is_news = True
            self._waiting += documents
            if not self.held:
                self.tell()

    def add_named(self, values: Sequence[Any]) -> None:
        """Adds sources that a chain names by itself, as texts or dicts, but for those that are documents it found."""
        found = [*self._waiting, *(told.document for told in self._told.values())]
        known = {name for each in found for name in _names(each)}
        self.add([each for each in map(_named, filter(None, values)) if not known & _names(each)])

    def fresh_in(self, value: object) -> list[Document]:
        """The documents in a value of the chain's, but for those that the chain was given and handed on."""
        return [each for each in documents_in(value) if all(each is not given for given in self.given)]

    def replace(self, documents: Sequence[Document]) -> None:
        """Replaces the documents that were found on the way by these, which the chain chose."""
        self._waiting, self._is_chosen = list(documents), True

    def withdraw(self, message: str) -> None:
        """Takes in that the documents of a message went with it."""
        for told in self._told.values():
            told.others.discard(message)
            told.is_shown &= told.message != message

    def tell(self, message: str | None = None) -> None:
        """Tells the documents that wait, with a message or, at the end, with none."""
        waiting = [*self._waiting, *self._told_again(message)]
        self._waiting, self._is_chosen = [], False
        fresh = []
        for document in waiting:
            key = document.page_content, repr(sorted(document.metadata.items(), key=str))
            if key in self._told and self._told[key].is_shown:
                self._told[key].others.add(message)
            else:
                self._told[key] = _Told(document, message, set())
                fresh.append(_source(document))
        if fresh:
            self._emitter.emit([Data("sources", fresh, message)])

    def _told_again(self, message: str | None) -> list[Document]:
        """The documents that went with a draft, and that other messages are made of as well.

        Where nothing was found since, the next message is made of what the draft was made of.
        """
        gone = [told for told in self._told.values() if not told.is_shown]
        is_all_gone = len(gone) == len(self._told)
        self._told = {key: told for key, told in self._told.items() if told.is_shown}
        if self._is_chosen:
            return []
        shared = [told.document for told in gone if told.others]
        if shared or self._waiting or not (message is not None or is_all_gone):
            return shared
        return [told.document for told in gone]


def are_documents(value: object) -> TypeGuard[Sequence[Document]]:
    """True if a value is a list of documents, at least one."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Document) for item in value)


def documents_in(value: object) -> list[Document]:
    """The documents in a value: itself, those of a list, or those under the keys of a dict."""
    if isinstance(value, Mapping):
        return [document for each in value.values() for document in documents_in(each)]
    return [value] if isinstance(value, Document) else list(value) if are_documents(value) else []


def _named(value: Any) -> Document:
    """A source as a chain names it, such as an address, or a dict of LangChain's own names or a search engine's."""
    if not isinstance(value, Mapping):
        return Document("", metadata={"source": str(value)})
    known = {**value, **(value["metadata"] if isinstance(value.get("metadata"), Mapping) else {})}
    text = next((known[key] for key in ("page_content", "content", "excerpt", "snippet", "text") if known.get(key)), "")
    title = known.get("title") or known.get("name") or known.get("source") or known.get("url") or "Untitled"
    return Document(str(text), metadata={**known, "title": title})


def _names(document: Document) -> set[str]:
    """The names by which a source is known: its title, its address, and where its document says that it is from."""
    given = {str(document.metadata[key]) for key in ("title", "url", "source") if document.metadata.get(key)}
    return given | {str(_source(document)["title"])} | {name.rstrip("/").rpartition("/")[2] for name in given}


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
