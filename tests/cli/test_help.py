"""What the command says of itself, without importing what it does not need for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmstream import __version__
from llmstream.cli import main
from tests.support import ROOT
from tests.support.command import TIMEOUT_S

HEAVY = (
    "aiohttp",
    "fastapi",
    "gradio",
    "langchain_core",
    "msgspec",
    "ollama",
    "pydantic",
    "rich",
    "starlette",
    "uvicorn",
)


def test_help_imports_nothing_heavy() -> None:
    """Help and version are there at once, so nothing is imported that they do not need."""
    code = "import sys\nfrom llmstream.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "serve" in done.stdout
    assert set() == set(HEAVY) & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["{}", "--help"], ["help", "{}"]])
@pytest.mark.parametrize("command", ["serve", "ask", "chat", "demo", "models", "doctor", "help"])
def test_every_command_has_help(command: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command says how to use it, whichever way it is asked for."""
    with pytest.raises(SystemExit) as ended:
        main([word.format(command) for word in words])
    assert 0 == ended.value.code
    assert capsys.readouterr().out.startswith(f"usage: llmstream {command}")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`llmstream help` is `--help`; a command that there is not is told."""
    assert 0 == main(["help"])
    assert capsys.readouterr().out.startswith("usage: llmstream [-h]")
    with pytest.raises(SystemExit) as ended:
        main(["help", "sing"])
    assert 2 == ended.value.code
    assert "invalid choice: 'sing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command", "told"),
    [
        ("ask --modle a", " ask", "unrecognized arguments: --modle. Did you mean '--model'?"),
        ("serve --prot=3", " serve", "unrecognized arguments: --prot=3. Did you mean '--port'?"),
        ("--versoin", "", "unrecognized arguments: --versoin. Did you mean '--version'?"),
        ("ask --zzzzzz", " ask", "unrecognized arguments: --zzzzzz"),
        ("aks hi", "", "'doctor', 'help'). Did you mean 'ask'?"),
        ("help srve", " help", "'doctor', 'help'). Did you mean 'serve'?"),
        ("sing", "", "'doctor', 'help')"),
    ],
)
def test_misspelt_names(words: str, command: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest option of the command, or the nearest command, is told; where none is near, none."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert 2 == ended.value.code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"llmstream{command}: error: ")
    assert last.endswith(told)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"llmstream {__version__}\n" == capsys.readouterr().out
