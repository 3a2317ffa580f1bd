"""Images in the Gradio chat without a browser: from an upload to what the model is sent."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from gradio.utils import get_upload_folder
from langchain_core.prompts import ChatPromptTemplate
from langchain_ollama import ChatOllama
from PIL import Image

from llmstream.core.question.images import takes_images
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import InvalidRequest
from llmstream.gradio import create_chat, mount_chat
from llmstream.gradio.images import with_images
from llmstream.gradio.messages import asked_of, conversation, edited, last_question, message, question_messages
from llmstream.gradio.security import KEPT_S, Room
from llmstream.ollama_server.backend import Model
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.gradio_pages import call_page, file_message, text_message
from tests.support.serving import Served, get, post

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SEEING = "demo-seeing:latest"


@pytest.fixture
def upstream(upstream: DemoOllama) -> DemoOllama:
    """The demo Ollama, with a model that sees."""
    upstream.models[SEEING] = Model(SEEING, capabilities=("completion", "vision"))
    return upstream


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"


def picture(width: int = 8, height: int = 8, *, kind: str = "PNG", orientation: int = 1) -> bytes:
    """The file of an image."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), "gold").save(buffer, format=kind, exif=exif)
    return buffer.getvalue()


def uploaded(url: str, raw: bytes, name: str = "sun.png") -> str:
    """Where Gradio has put a file that was uploaded."""
    response = post(f"{url}/gradio_api/upload", files={"files": (name, raw)})
    assert 200 == response.status_code, response.text
    return str(response.json()[0])


def kept(raw: bytes, name: str) -> dict[str, str]:
    """A file as a page names it, which Gradio keeps."""
    folder = Path(get_upload_folder()) / "of-a-test"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(raw)
    return {"path": str(path)}


def asks(*files: dict[str, str]) -> list[dict[str, Any]]:
    """A question with files, as a chain should know it."""
    return conversation(question_messages({"text": "What is it?", "files": files}))


def test_an_image_reaches_the_model(
    serve: Callable[[FastAPI], Served], settings: Settings, upstream: DemoOllama
) -> None:
    """What was uploaded goes to the model with the question, and is shown to a blind one never; it is told at once."""
    app = FastAPI()
    app.state.runs = Runs(settings)
    mount_chat(app, create_chat(settings=settings), "/chat")
    url = serve(app).url + "/chat"
    large = picture(2400, 1200, kind="BMP")
    assert len(large) > settings.max_body_bytes
    asked = [file_message(uploaded(url, large, "sun.bmp")), text_message("What is it?")]
    done = call_page(url, "answer", [asked, SEEING, "", "", False])
    assert done["success"]
    (sent,) = [request.body["messages"] for request in upstream.requests if request.path == "/api/chat"]
    with Image.open(io.BytesIO(base64.b64decode(sent[0]["images"][0]))) as image:
        assert ((1536, 768), "PNG") == (image.size, image.format)
    blind = call_page(url, "answer", [asked, "demo:latest", "", "", False], session="other")
    assert "can't do images" in blind["output"]["data"][0][-1]["content"][0]["text"]
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)


def test_a_mounted_page_gives_out_no_file_of_the_server(
    serve: Callable[[FastAPI], Served], settings: Settings, tmp_path: Path
) -> None:
    """A file that a request names, and nobody uploaded, is neither read nor copied to where it could be fetched."""
    secret = tmp_path / "secret.txt"
    secret.write_text("Sesame.")
    app = FastAPI()
    app.state.runs = Runs(settings)
    mount_chat(app, create_chat(settings=settings), "/chat")
    url = serve(app).url + "/chat"
    done = call_page(url, "answer", [[file_message(str(secret)), text_message("Why?")], "demo:latest", "", "", False])
    assert not done["success"]
    assert "Sesame" not in str(done)
    assert 403 == get(f"{url}/gradio_api/file={secret}").status_code


def test_a_photograph_is_upright_and_small() -> None:
    """What a model is sent is turned as the camera was held, and no larger than it sees; what fits stays as it is."""
    turned, small = picture(3000, 1500, kind="JPEG", orientation=6), picture()
    (asked,) = with_images(asks(kept(turned, "turned.jpg"), kept(small, "small.png")))
    urls = [part["image_url"]["url"] for part in asked["content"][1:]]
    with Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2]))) as image:
        assert ((768, 1536), "JPEG") == (image.size, image.format)
    assert "data:image/png;base64," + base64.b64encode(small).decode() == urls[1]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"<svg/>", "no image"),
        (POSTSCRIPT, "no image"),
        (picture()[:60], "can be read|broken"),
        (None, "kept no longer"),
    ],
)
def test_what_is_no_image_is_told(raw: bytes | None, says: str) -> None:
    """An image of the question that can't be read is refused by its name; of an earlier one a note is left."""
    file = kept(raw or b"", "odd.png")
    if raw is None:
        Path(file["path"]).unlink()
    with pytest.raises(InvalidRequest, match=f"odd.png.*({says})"):
        with_images(asks(file))
    before, *_ = with_images([*asks(file), {"role": "assistant", "content": "A sun."}])
    texts = [part["text"] for part in before["content"]]
    assert ["What is it?", "[An image was here, and is kept no longer.]"] == texts


def test_an_image_takes_no_more_than_it_shows() -> None:
    """A small file that unpacks to gigabytes is refused; a large photograph is not unpacked whole."""
    buffer = io.BytesIO()
    Image.new("1", (8000, 8000)).save(buffer, format="PNG")
    with pytest.raises(InvalidRequest, match="more than 50 million pixels"):
        with_images(asks(kept(buffer.getvalue(), "bomb.png")))
    (asked,) = with_images(asks(kept(picture(8000, 8000, kind="JPEG"), "photograph.jpg")))
    assert "image/jpeg" in asked["content"][1]["image_url"]["url"][:20]


def test_only_what_was_uploaded_is_read(tmp_path: Path) -> None:
    """A page can't have another file of the server read, also not by a way around."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    way = Path(get_upload_folder()) / ".." / secret.relative_to("/")
    for path in (secret, way):
        with pytest.raises(InvalidRequest, match="was not uploaded"):
            with_images(asks({"path": str(path)}))


def test_images_stay_with_their_question() -> None:
    """Asked again, edited or taken back, a question keeps its images, and so does one of images alone."""
    one, two, three = {"path": "1"}, {"path": "2"}, {"path": "3"}
    shown = [
        *question_messages({"text": "What is it?", "files": [one, two]}),
        message("assistant", "A sun."),
        *question_messages({"text": "", "files": [three]}),
    ]
    first = {"text": "What is it?", "files": [one, two]}
    assert ({"text": "", "files": [three]}, shown[:4]) == last_question(shown)
    assert (first, []) == last_question(shown[:4])
    event = type("EditData", (), {"index": 2, "value": "What else?"})
    assert ({"text": "What else?", "files": [one, two]}, []) == edited(event, shown)
    assert first == asked_of(first)
    assert [3, "A sun.", 1] == [
        each["content"] if each["role"] == "assistant" else len(each["content"]) for each in conversation(shown)
    ]


@pytest.mark.parametrize(
    ("model", "prompt", "takes"),
    [(SEEING, "{messages}", True), ("demo:latest", "{messages}", False), (SEEING, None, False)],
)
async def test_a_chain_of_ones_own_shows_whether_it_sees(
    upstream: DemoOllama, model: str, prompt: str | None, takes: bool
) -> None:
    """Images are taken where the chain takes messages, for a model in it that sees."""
    first = ("placeholder", prompt) if prompt else ("user", "{question}")
    chain = ChatPromptTemplate.from_messages([first]) | ChatOllama(model=model, base_url=upstream.url)
    assert takes is await takes_images(chain)


def test_room_for_files() -> None:
    """The files of a day have a limit together; who does not tell a length gets no room."""
    now = [0.0]
    room = Room(100, clock=lambda: now[0])
    assert [True, False, True, False] == [room.take(length) for length in ("60", "50", "40", "")]
    now[0] = sum(KEPT_S) + 1.0
    assert room.take("100")
