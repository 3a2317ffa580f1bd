"""`llmstream doctor` and `llmstream models`."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import llmstream
from llmstream.cli import main
from llmstream.demo_ollama import DemoOllama, Model
from tests.support.redis import RedisServer


@pytest.fixture
def with_ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


def test_doctor_says_that_everything_is_there(with_ollama: DemoOllama, capsys: pytest.CaptureFixture[str]) -> None:
    """With an Ollama that has a model the exit code is 0, and each line begins with a mark."""
    assert 0 == main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(ok|missing) +\S", line) for line in lines)
    assert any(re.fullmatch(rf"ok +Ollama \S+ at {re.escape(with_ollama.url)}", line) for line in lines)
    assert "ok       models: demo:latest, demo-thinking:latest" in lines
    assert any(re.fullmatch(r"ok +model demo:latest answers: a token in \d+\.\d s", line) for line in lines)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_doctor_tells_a_model_that_answers_nobody(
    is_loaded: bool, with_ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is loaded hangs, and the line says how to free it; any other may only need longer than the limit."""
    with_ollama.models["demo:slow-0.6"] = Model("demo:slow-0.6")
    monkeypatch.setenv("LLMSTREAM_MODEL", "demo:slow-0.6")
    monkeypatch.setenv("LLMSTREAM_FIRST_TOKEN_TIMEOUT_S", "0.2")
    if is_loaded:
        httpx.post(f"{with_ollama.url}/api/generate", json={"model": "demo:slow-0.6", "keep_alive": "5m"})
    assert int(is_loaded) == main(["doctor"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "no token within 0.2 s" in line)
    if is_loaded:
        assert line.startswith("MISSING  model demo:slow-0.6: ")
        assert "`ollama stop demo:slow-0.6`" in line
        assert f"""curl {with_ollama.url}/api/generate -d '{{"model": "demo:slow-0.6", "keep_alive": 0}}'""" in line
    else:
        assert line.startswith("missing  model demo:slow-0.6: ")
        assert "`ollama run demo:slow-0.6 hi` waits for it" in line


def test_doctor_tells_the_error_of_a_model(
    with_ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that is there and can't answer is no sound one."""
    with_ollama.models["demo:error-line"] = Model("demo:error-line")
    monkeypatch.setenv("LLMSTREAM_MODEL", "demo:error-line")
    assert 1 == main(["doctor"])
    assert "MISSING  model demo:error-line: Ollama" in capsys.readouterr().out


def test_doctor_without_an_ollama(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, and the line says how to get one."""
    assert 1 == main(["doctor"])
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING")]
    assert 1 == len(found)
    assert "none answers at http://127.0.0.1:9" in found[0]
    assert "`llmstream demo`" in found[0]


@pytest.mark.usefixtures("with_ollama")
def test_doctor_tries_the_store(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that is set must answer; one that does not is named without its password."""
    monkeypatch.setenv("LLMSTREAM_REDIS_URL", redis_server.url)
    with redis_server.client.pubsub() as process:
        process.subscribe("{llmstream}:1:n:abc")
        process.get_message(timeout=10)
        assert 0 == main(["doctor"])
    told = re.search(r"^ok +store: redis \S+ answers in \S+ ms, (.*); (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert told
    assert ("shared by 1 process", "maxmemory-policy is noeviction, as it should be") == told.groups()
    monkeypatch.setenv("LLMSTREAM_REDIS_URL", "redis://ann:hunter2@127.0.0.1:9")
    assert 1 == main(["doctor"])
    shown = capsys.readouterr().out
    assert re.search(r"^MISSING  store: The store at redis://127.0.0.1:9 can't be used", shown, re.MULTILINE)
    assert "hunter2" not in shown


@pytest.mark.usefixtures("with_ollama")
def test_doctor_names_the_command_for_a_missing_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that is set but not pulled is needed."""
    monkeypatch.setenv("LLMSTREAM_MODEL", "nope")
    assert 1 == main(["doctor"])
    assert "MISSING  model nope: get it with `ollama pull nope`" in capsys.readouterr().out


@pytest.mark.usefixtures("with_ollama")
def test_doctor_tells_settings_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings are told by name, a misspelled one too; the token's value appears nowhere."""
    monkeypatch.setenv("LLMSTREAM_TOKEN", "sesame-4711")
    monkeypatch.setenv("LLMSTREAM_MODLE", "x")
    assert 0 == main(["doctor"])
    out = capsys.readouterr().out
    assert "settings in the environment: LLMSTREAM_MODLE, LLMSTREAM_TOKEN" in out
    assert "LLMSTREAM_MODLE is no setting" in out
    assert "sesame" not in out


def test_doctor_tells_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that can't be used is a finding, not an error of the doctor's."""
    monkeypatch.setenv("LLMSTREAM_GRACE_S", "soon")
    assert 1 == main(["doctor"])
    assert (
        "MISSING  settings: LLMSTREAM_GRACE_S takes a number of seconds, 0 or more, got 'soon'."
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("with_ollama")
def test_doctor_tells_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """The port of `serve` is looked at; whether it is free depends on the machine, the line on that."""
    try:
        listener = socket.create_server(("127.0.0.1", 8000))
    except OSError:
        listener = socket.socket()  # taken by somebody else
    with listener:
        main(["doctor"])
    assert "missing  a free port 8000: another program has it; `llmstream serve --port 8001`" in capsys.readouterr().out


@pytest.mark.usefixtures("with_ollama")
def test_models_marks_the_one_that_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, size, whether it is loaded, what it can; a star before the one that would be used."""
    monkeypatch.setenv("LLMSTREAM_MODEL", "demo-thinking")
    assert 0 == main(["models"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["NAME", "SIZE", "LOADED", "CAPABILITIES"] == rows[0]
    assert ["demo:latest", "0.0", "MB", "no", "completion"] in rows
    assert ["*", "demo-thinking:latest", "0.0", "MB", "no", "completion,", "thinking"] in rows


@pytest.mark.usefixtures("with_ollama")
def test_models_tells_that_the_set_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No star then, but the command that gets it."""
    monkeypatch.setenv("LLMSTREAM_MODEL", "nope")
    assert 0 == main(["models"])
    captured = capsys.readouterr()
    assert "*" not in captured.out
    assert "ollama pull nope" in captured.err


def test_models_without_an_ollama(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, exit code 1; the line says what else there is on a command line, and nothing of Python."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # in which errors name the fixture
    assert 1 == main(["models"])
    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, captured.err.count("\n"))
    assert captured.err.endswith("or a demo in its place with `llmstream demo`.\n")


@pytest.mark.usefixtures("with_ollama")
def test_models_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The form of the server's `GET /models`, with what each can do; an error is an object, too."""
    assert 0 == main(["models", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert "demo:latest" == told["default"]
    assert {"name": "demo:latest", "size": 0, "loaded": False, "capabilities": ["completion"]} == told["models"][0]
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert 1 == main(["models", "--json"])
    captured = capsys.readouterr()
    assert ("upstream_unreachable", "") == (json.loads(captured.out)["error"]["code"], captured.err)


def test_models_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """As the error proposes; the same option as that of `ask`."""
    assert 0 == main(["models", "--demo"])
    captured = capsys.readouterr()
    assert ["*", "demo:latest"] == captured.out.splitlines()[1].split()[:2]
    assert "Demo model: started with --demo.\n" == captured.err


def test_doctor_tells_that_the_page_is_not_built(tmp_path: Path) -> None:
    """A clone has no chat page until it is built; the line names the command."""
    package = Path(llmstream.__file__).parent
    shutil.copytree(package, tmp_path / "llmstream", ignore=shutil.ignore_patterns("page", "__pycache__"))
    command = [sys.executable, "-m", "llmstream", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert "missing  chat page (not built): run `make page` in a clone, which takes Node.js" in done.stdout.splitlines()
