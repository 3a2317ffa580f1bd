"""Who comes in to a chat page, launched by itself or mounted in an app, and what the page tells strangers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio
import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from llmstream.cli.lazy_gradio import LazyChat
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import SettingsError
from llmstream.fastapi import create_app, create_router
from llmstream.gradio import create_chat, mount_chat
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.faultkit import eventually
from tests.support.gradio_pages import call_page, text_message
from tests.support.gradio_turns import launched
from tests.support.npm import NOBODY
from tests.support.ports import free_port
from tests.support.serving import Served, get, post

# Gradio makes an event loop wherever none runs, and leaves it to the garbage collector, which complains.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_doors_of_a_launched_page(settings: Settings) -> None:
    """Only our own host and origin come in, nothing is uploaded, no file is given out, nothing comes from elsewhere."""
    with launched(settings) as url:
        assert 200 == get(f"{url}/").status_code
        assert 421 == get(f"{url}/", headers={"host": "evil.example"}).status_code
        assert 421 == get(f"{url}/config", headers={"host": "[::1].evil.example"}).status_code
        assert 403 == post(f"{url}/gradio_api/queue/join", {}, headers={"origin": "https://evil.example"}).status_code
        assert 403 == post(f"{url}/gradio_api/upload", files={"files": b"x"}).status_code
        for path in ("/etc/passwd", "../../etc/passwd", "https://evil.example/x.png"):
            assert 400 <= get(f"{url}/gradio_api/file={path}").status_code < 500
        assert "default-src 'self'" in get(f"{url}/").headers["content-security-policy"]


def test_token_opens_a_launched_page(settings: Settings) -> None:
    """With a token the page starts, and opens for those who have it."""
    with launched(settings.change(token="secret")) as url:
        assert (401, 200) == (get(f"{url}/").status_code, get(f"{url}/?token=secret").status_code)


def test_network_needs_a_token(settings: Settings) -> None:
    """The page does not listen to the network without a token."""
    with pytest.raises(SettingsError):
        create_chat(settings=settings).launch(server_name="0.0.0.0", prevent_thread_lock=True)


def test_page_tells_strangers_no_addresses(serve: Callable[[FastAPI], Served]) -> None:
    """What is wrong with the Ollama is said plainly to people who can't mend it, with nothing of the server's."""
    app, names = FastAPI(), ("chat.example.com", "127.0.0.1")
    app.state.runs = Runs(Settings(ollama_url=NOBODY, demo="never", allowed_hosts=names))
    mount_chat(app, create_chat(runs=app.state.runs))
    there = {"host": "chat.example.com"}
    notice = call_page(f"{serve(app).url}/gradio", "_look", [None], headers=there)["output"]["data"][1]
    assert "The model can't be reached. Ask again later." == notice["value"]


def test_a_mounted_page_waits_for_its_ollama(
    serve: Callable[[FastAPI], Served], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an Ollama, or a model in it, the box of models and the notice say so; then the models are there."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # in which errors name the fixture
    app, port = FastAPI(), free_port()
    app.state.runs = Runs(settings.change(ollama_url=f"http://127.0.0.1:{port}", model=None))
    mount_chat(app, create_chat(runs=app.state.runs))
    url = f"{serve(app).url}/gradio"

    def look() -> tuple[list[str], str, bool]:
        picker, notice, timer, *_ = call_page(url, "_look", [""])["output"]["data"]
        return [name for name, _ in picker["choices"]], notice["value"], timer["active"]

    nothing = ["No model yet: see above"]
    names, notice, again = look()
    assert (nothing, True, True) == (names, "Start it with `ollama serve`" in notice, again)
    with DemoOllama(port=port) as ollama:
        models = dict(ollama.models)
        ollama.models.clear()
        names, notice, again = look()
        assert (nothing, True, True) == (names, "`ollama pull llama3.2`" in notice, again)
        ollama.models |= models
        names, notice, again = look()
        assert (True, "", False) == ("demo:latest" in names, notice, again)


def test_page_offers_programs_nothing(settings: Settings) -> None:
    """No handler of the page is part of Gradio's own API, and nothing is recorded."""
    chat = create_chat(settings=settings)
    assert {"private"} == {fn.api_visibility for fn in chat.fns.values()}
    with launched(settings) as url:
        info = get(f"{url}/gradio_api/info").json()
        config = get(f"{url}/config").json()
    assert {"named_endpoints": {}, "unnamed_endpoints": {}} == info
    assert (False, False) == (chat.analytics_enabled, config.get("run_history", False))


def test_operators_system_prompt_is_not_sent_to_the_page(settings: Settings) -> None:
    """A system prompt of the server's own is nowhere in the page."""
    with launched(settings.change(system_prompt="Sesame.")) as url:
        assert "Sesame" not in get(f"{url}/").text + get(f"{url}/config").text


def test_mounted_blocks_of_ones_own(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """Somebody's own Blocks with a chat in them are mounted behind the same doors; without one they are refused."""
    with gradio.Blocks() as demo:
        create_chat(settings=settings)
    app = FastAPI()
    app.state.runs = Runs(settings)
    mount_chat(app, demo, "/own")
    url = serve(app).url
    assert "default-src 'self'" in get(f"{url}/own/").headers["content-security-policy"]
    assert 421 == get(f"{url}/own/", headers={"host": "evil.example"}).status_code
    with pytest.raises(ValueError, match="create_chat"):
        mount_chat(app, gradio.Blocks(), "/other")


def test_chat_without_doors_says_so(
    serve: Callable[[FastAPI], Served], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Mounted in Gradio's way it has no doors, and says so at once."""
    app = FastAPI()
    app.state.runs = Runs(settings)
    gradio.mount_gradio_app(app, create_chat(settings=settings), "/open")
    serve(app)
    assert ["mount_chat" in record.getMessage() for record in caplog.records if record.name == "llmstream"] == [True]


def test_runs_of_the_page_belong_to_whom_identify_names(serve: Callable[[FastAPI], Served], settings: Settings) -> None:
    """What a person asks in the page is that person's run: another one gets a 404, a stranger a 401."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs, identify=lambda request: request.headers.get("x-user"))
    mount_chat(app, create_chat(runs=runs), "/chat")
    url = serve(app).url
    ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
    functions = get(f"{url}/chat/config", headers=ann).json()["dependencies"]
    question = {"role": "user", "content": [{"type": "text", "text": "Why?"}], "metadata": None, "options": None}
    asked = {
        "fn_index": next(each["id"] for each in functions if each["api_name"] == "answer"),
        "data": [[question], "demo:silent", "", "", False],
        "session_hash": "page",
    }
    assert 401 == post(f"{url}/chat/gradio_api/queue/join", asked).status_code
    assert 200 == post(f"{url}/chat/gradio_api/queue/join", asked, headers=ann).status_code
    session = f"{url}/chat/gradio_api/queue/data?session_hash=page"
    with httpx.stream("GET", session, headers=ann, timeout=30) as page:
        lines = page.iter_lines()  # kept: who drops it closes the connection, which leaves the run
        assert any("Waiting for demo:silent" in line for line in lines)
        (run_id,) = runs.active
        assert 200 == get(f"{url}/runs/{run_id}", headers=ann).status_code
        assert 404 == get(f"{url}/runs/{run_id}", headers=bob).status_code
        assert 202 == post(f"{url}/runs/{run_id}/stop", headers=ann).status_code


def test_server_without_gradio_says_how_to_get_it(
    serve: Callable[[FastAPI], Served], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `llmstream serve` can't show the page it says what to install."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    app = create_app(settings)
    app.mount("/gradio", LazyChat(app.state.runs, lambda: None))
    response = get(f"{serve(app).url}/gradio/")
    assert (501, 'The Gradio chat needs Gradio. Get it with: pip install "llmstream-toolkit[gradio]"\n') == (
        response.status_code,
        response.text,
    )


def test_missing_gradio_says_how_to_get_it() -> None:
    """Without Gradio the import fails with the command that installs it."""
    code = "import sys; sys.modules['gradio'] = None\nimport llmstream.gradio"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert 'ImportError: The chat page needs Gradio: pip install "llmstream-toolkit[gradio]"' in done.stderr


@pytest.mark.parametrize("in_same_app", [True, False])
def test_chat_page_on_guarded_runs(
    serve: Callable[[FastAPI], Served], settings: Settings, *, in_same_app: bool
) -> None:
    """A page of Gradio's on runs whose endpoints ask who somebody is asks the same, also in an app without them."""
    runs = Runs(settings)
    app = FastAPI()
    app.state.runs = runs
    mount_chat(app, create_chat(runs=runs), "/page")

    def identify(request: HTTPConnection) -> str | None:
        return request.headers.get("x-user")

    if in_same_app:
        app.include_router(create_router(runs=runs, identify=identify), prefix="/llm")
    else:
        create_app(runs=runs, identify=identify)
    url = serve(app).url
    assert 401 == get(f"{url}/page/").status_code
    assert 200 == get(f"{url}/page/", headers={"x-user": "ann"}).status_code


@contextmanager
def kept_page(settings: Settings) -> Iterator[tuple[Any, str]]:
    """A launched page, and its address."""
    chat = create_chat(settings=settings, multimodal=False)
    chat.launch(prevent_thread_lock=True, quiet=True)
    try:
        yield chat, str(chat.local_url).rstrip("/")
    finally:
        chat.close(verbose=False)


def test_what_nobody_reads_is_not_kept(settings: Settings) -> None:
    """Of a page that asks, and never opens the stream of its events, nothing stays but that it asked."""
    said = "Why? " * 10_000
    with kept_page(settings.change(send_timeout_s=0.1, model=None)) as (chat, url):
        functions = get(f"{url}/config").json()["dependencies"]
        number = next(each["id"] for each in functions if each["api_name"] == "answer")
        asked = {"data": [[text_message(said)], "demo:none", "", "", False], "fn_index": number, "session_hash": "gone"}
        assert 200 == post(f"{url}/gradio_api/queue/join", asked).status_code
        queue = chat._queue
        assert eventually(lambda: not queue.event_ids_to_events)
        unread = queue.pending_messages_per_session["gone"]
        messages = [unread.get_nowait() for _ in range(unread.qsize())]
        assert messages
        assert said not in "".join(each.model_dump_json() for each in messages)


def test_page_writes_no_conversation_to_a_file(settings: Settings) -> None:
    """A link to a page as it is, which Gradio makes for whoever asks, holds nothing of what was said there."""
    with kept_page(settings) as (chat, url):
        said = [text_message("My secret."), text_message("I see.", "assistant")]
        assert "My secret." in str(call_page(url, "_undo", [said], session="mine"))
        link = get(f"{url}/gradio_api/deep_link?session_hash=mine").json()
        written = Path(chat.server_app.uploaded_file_dir, "deep_links", link, "state.json").read_text()
    assert "My secret." not in written
