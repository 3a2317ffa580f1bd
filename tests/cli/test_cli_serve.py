"""`llmstream serve`: what it says, what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.request

import pytest

from llmstream import Settings, __version__, stream
from llmstream.cli import main
from llmstream.demo_ollama import DemoOllama
from tests.support.command import TIMEOUT_S, forked, piped
from tests.support.faultkit import ask


def test_serve_says_where_and_what(upstream: DemoOllama) -> None:
    """One line each for the address, Ollama and the pages, the Gradio chat among them; SIGINT ends it."""
    with forked("serve", "--port", "0", ollama=upstream.url) as process:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        address = lines[0].removeprefix(f"llmstream {__version__} listens on ")
        pages = f"The chat: {address}  With Gradio: {address}/gradio  The documentation: {address}/docs"
        expected = [lines[0], f"Ollama at {upstream.url} answers, with demo:latest", pages]
        assert expected == lines
        with urllib.request.urlopen(f"{address}/health", timeout=TIMEOUT_S) as answer:
            assert "ok" == json.load(answer)["status"]
        with urllib.request.urlopen(f"{address}/gradio/", timeout=TIMEOUT_S) as page:
            assert b"Loading Gradio" in page.read()
        with urllib.request.urlopen(f"{address}/gradio/config", timeout=TIMEOUT_S) as chat:
            assert "llmstream" == json.load(chat)["title"]
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(TIMEOUT_S)


def test_serve_says_that_the_demo_answers() -> None:
    """The same line that every page shows."""
    with piped("serve", "--port", "0", ollama="127.0.0.1:9") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"Demo model: no Ollama at http://127.0.0.1:9.")


def test_demo_is_an_ollama_for_every_app(capsys: pytest.CaptureFixture[str]) -> None:
    """It answers as any model, says how an app finds it and ends by SIGTERM; a taken port is told with what to do."""
    with forked("demo", "--port", "0", ollama="") as process:
        first, second = (process.stdout.readline().strip() for _ in range(2))
        assert second.startswith("Your app finds it with OLLAMA_HOST=")
        url = second.partition("=")[2]
        assert first.startswith(f"The demo Ollama answers at {url}, as any model")
        settings = Settings(ollama_url=url, model="llama3.2")
        assert "demo" in "".join(stream("What is a run?", settings=settings))
        assert 1 == main(["demo", "--port", url.rpartition(":")[2]])
        assert "is taken, by an Ollama perhaps" in capsys.readouterr().err
        process.terminate()
        assert 0 == process.wait(TIMEOUT_S)


def test_serve_names_the_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """And the option that helps."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert 1 == main(["serve", "--port", str(port)])
    assert f"Port {port} is taken. Choose another one: llmstream serve --port {port + 1}" in capsys.readouterr().err


def test_serve_names_a_misspelt_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that looks like a setting and is none is told, by name alone."""
    monkeypatch.setenv("LLMSTREAM_SYSTEM_PROMT", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert 1 == main(["serve", "--port", str(listener.getsockname()[1])])
    told = capsys.readouterr().err
    assert ("LLMSTREAM_SYSTEM_PROMT is no setting" in told, "secret" in told) == (True, False)


def test_serve_proposes_a_port_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """There is none above the last one."""
    try:
        listener = socket.create_server(("127.0.0.1", 65535))
    except OSError:
        listener = socket.socket()  # taken by somebody else
    with listener:
        assert 1 == main(["serve", "--port", "65535"])
    assert "Choose another one: llmstream serve --port 65534" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["llm", "/llm/../x", "/a b", "https://example.com/llm"])
def test_serve_refuses_what_is_no_path(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of what is one."""
    with pytest.raises(SystemExit):
        main(["serve", "--root-path", path])
    assert "expected a path such as /llm" in capsys.readouterr().err


def test_serve_says_that_its_model_is_missing(upstream: DemoOllama) -> None:
    """And how to get it."""
    with forked("serve", "--port", "0", "--model", "nope", ollama=upstream.url) as process:
        line = [process.stdout.readline().strip() for _ in range(2)][1]
    missing = "The model 'nope' is not there. Get it with `ollama pull nope`."
    assert f"Ollama at {upstream.url} answers. {missing}" == line


def test_serve_refuses_the_network_without_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is told that this is wanted."""
    assert 2 == main(["serve", "--host", "0.0.0.0"])
    assert "--allow-public" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8: run it there")
def test_serve_answers_to_the_name_it_listens_on(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was asked for needs no second setting, and those of a setting come to the loopback names."""
    monkeypatch.setenv("LLMSTREAM_ALLOWED_HOSTS", "chat.example.com")
    with forked("serve", "--host", "127.0.0.2", "--port", "0", ollama=upstream.url) as process:
        address = process.stdout.readline().split()[-1]
        names = ("127.0.0.2", "127.0.0.1", "localhost", "[::1]", "chat.example.com", "evil.example")
        answers = [ask(f"{address}/health", headers={"host": name}).status for name in names]
    assert [200, 200, 200, 200, 200, 421] == answers
