"""Sources that a chain names by itself, beside its answer: clients show them like documents that were found."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough

from llmstream import astream_events
from llmstream.events import Data
from tests.support.graphs import line
from tests.support.scripted_model import says, see

SKY = "https://example.com/sky"


@pytest.mark.parametrize(
    ("value", "sources"),
    [
        ([SKY], [{"title": "sky", "url": SKY, "excerpt": ""}]),
        (["notes.pdf", "notes.pdf"], [{"title": "notes.pdf", "url": None, "excerpt": ""}]),
        ("notes.pdf", [{"title": "notes.pdf", "url": None, "excerpt": ""}]),
        ([{"title": "Sky", "url": SKY, "snippet": "Blue."}], [{"title": "Sky", "url": SKY, "excerpt": "Blue."}]),
        (
            [{"page_content": "Blue.", "metadata": {"source": SKY}}],
            [{"title": SKY, "url": SKY, "excerpt": "Blue."}],
        ),
        ([7, ""], [{"title": "7", "url": None, "excerpt": ""}]),
        ("a.pdf, b.pdf", [{"title": name, "url": None, "excerpt": ""} for name in ("a.pdf", "b.pdf")]),
    ],
    ids=["an address", "names", "a text", "a search engine's", "a document's fields", "a number", "names in a text"],
)
async def test_the_forms_of_sources(value: Any, sources: list[Any]) -> None:
    """Each has a title, an address if it is one, and an excerpt."""

    def answer(question: str) -> Any:
        return {"answer": "It is blue.", "sources": value}

    events = [event async for event in astream_events("q", chain=answer)]
    assert [sources] == [event.value for event in events if isinstance(event, Data)]


class Library(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document("Blue.", metadata={"source": SKY, "title": "Sky"})]


async def test_names_of_documents_that_were_found() -> None:
    """They are told once, by what is known of them."""
    found = RunnablePassthrough.assign(context=(lambda _: "q") | Library())
    chain = found.assign(answer=lambda _: "It is blue.", sources=lambda each: [each["context"][0].metadata["source"]])
    assert ["Sky"] == (await see(chain, {"question": "q"})).sources


async def test_names_in_a_graphs_state() -> None:
    """They come with the answer."""

    class State(TypedDict, total=False):
        question: str
        sources: list[str]
        answer: str

    async def find(state: State) -> Any:
        return {"sources": ["sky.pdf"]}

    async def answer(state: State) -> Any:
        return {"answer": (await says("It is blue.").ainvoke("q")).content}

    seen = await see(line(State, find, answer))
    assert ("It is blue.", {"m1": ["sky.pdf"]}) == (seen.text, seen.sources_of)
