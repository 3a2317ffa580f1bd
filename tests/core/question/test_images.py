"""Images with a question: what is taken, what the model is sent, limits, and models that can't see."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_ollama import ChatOllama

from llmstream import stream
from llmstream.core.generator import as_runnable
from llmstream.core.question.images import image_url, may_take_images
from llmstream.demo_ollama import DemoOllama, Model
from llmstream.errors import BodyTooLarge, CapabilityMissing, InvalidRequest
from llmstream.settings import Settings
from llmstream.untrusted_json import without_images

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
)
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.fixture(scope="module")
def upstream() -> Iterator[DemoOllama]:
    """A demo Ollama with a model that sees."""
    with DemoOllama(tokens_per_s=None) as server:
        server.models["sees:latest"] = Model("sees:latest", capabilities=("completion", "vision"))
        yield server


def ask(upstream: DemoOllama, images: list[Any], *, model: str = "sees", **arguments: Any) -> list[str]:
    """The images that the model was sent."""
    arguments = {"settings": Settings(ollama_url=upstream.url, demo="never", model=model), **arguments}
    assert "".join(stream("What is it?", images=images, **arguments))
    sent = [request for request in upstream.requests if request.path == "/api/chat"][-1]
    return list(sent.body["messages"][-1]["images"])


def test_every_form_of_an_image_reaches_the_model(upstream: DemoOllama, tmp_path: Path) -> None:
    """Bytes, a path as either type, a data: URL: the model is sent the same."""
    path = tmp_path / "a square.png"
    path.write_bytes(PNG)
    assert 4 * [base64.b64encode(PNG).decode()] == ask(upstream, [PNG, path, str(path), URL])


@pytest.mark.parametrize("image", [b"%PDF-1.7", "no/such/file.png", "https://example.com/a.png", 3, "\0"])
def test_what_is_no_image_is_refused(image: Any) -> None:
    """A file of another kind, one that is not there, a link, a number."""
    with pytest.raises(InvalidRequest):
        image_url(image)


def test_blind_models_are_not_asked(upstream: DemoOllama) -> None:
    """The default chain and chains of one's own are refused before anything is generated."""
    before = sum(request.path == "/api/chat" for request in upstream.requests)
    model = ChatOllama(model="demo", base_url=upstream.url)
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("placeholder", "{messages}")])
    for arguments in ({"model": "demo"}, {"chain": model}, {"chain": prompt | model}):
        with pytest.raises(CapabilityMissing, match="images"):
            ask(upstream, [PNG], **arguments)
    assert before == sum(request.path == "/api/chat" for request in upstream.requests)


async def test_may_take_images(upstream: DemoOllama) -> None:
    """Images go to a chain that takes messages, unless every model that it shows is blind."""

    async def reads(question: str) -> str:
        return question

    async def sees(messages: list[Any]) -> AsyncGenerator[str]:
        yield str(messages)

    seeing, blind = (ChatOllama(model=name, base_url=upstream.url) for name in ("sees", "demo"))
    of_text = ChatPromptTemplate.from_messages([("placeholder", "{history}"), ("user", "{question}")])
    of_messages = ChatPromptTemplate.from_messages([("placeholder", "{messages}")])
    takes: list[object] = [seeing, of_messages | seeing, sees]
    takes_none: list[object] = [blind, of_messages | blind, of_text | seeing, reads]
    assert [True] * 3 == [await may_take_images(as_runnable(chain)) for chain in takes]
    assert [False] * 4 == [await may_take_images(as_runnable(chain)) for chain in takes_none]


def test_images_have_a_limit_of_their_own(upstream: DemoOllama) -> None:
    """Beyond it the error names the setting."""
    settings = Settings(ollama_url=upstream.url, demo="never", model="sees", max_image_bytes=100)
    with pytest.raises(BodyTooLarge, match="LLMSTREAM_MAX_IMAGE_BYTES"):
        ask(upstream, [PNG], settings=settings)


def test_only_long_base64_passes_for_an_image() -> None:
    """What is measured as text stays; a string of base64 goes, also as PHP writes it."""
    text = b'{"a": "' + b"word " * 1000 + b'", "b": "' + b"A" * 1000 + b'"}'
    assert text == without_images(text)
    assert b'{"url": "data:image/png;base64,"}' == without_images(
        b'{"url": "data:image\\/png;base64,' + b"A\\/" * 1000 + b'=="}'
    )
