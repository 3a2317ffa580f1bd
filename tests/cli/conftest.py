"""The command `llmstream`, called in the process of the tests."""

from __future__ import annotations

import io
import sys

import pytest

from llmstream.cli import main
from tests.support.called import Call, Done


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`run` in this process: starting one takes seconds."""

    def called(*arguments: str, ollama: str, text: str = "", **variables: str) -> Done:
        for name, value in {"OLLAMA_HOST": ollama, **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)  # in which errors name the fixture
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(arguments)
        out, err = capsys.readouterr()
        return Done(out, err, code)

    return called
