"""The documented snippets against a server that refuses, or that fails in the middle: each shows what is wrong."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmstream.errors import Forbidden, InvalidRequest, LlmstreamError, UpstreamBusy, UpstreamTruncated
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.npm import CLIENTS, NOBODY, built, run_program
from tests.support.serving import serving
from tests.support.warm_python import WarmPython, warm_python

pytestmark = pytest.mark.timeout(360)  # the first test installs the packages

SERVER = "http://localhost:8000"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CLIENTS_PAGE, README = ((ROOT / name).read_text() for name in ("docs/clients.md", "README.md"))

# What stands around the README's snippets in a page.
AROUND = """
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource } from "eventsource";
const [question, setAnswer] = ["What is SSE?", () => undefined];
const setError = (error) => document.body.append(error);
class FatalError extends Error {}
"""


@dataclass(frozen=True)
class Fault:
    """What a server answers; shown: what a person reads of it, in words or as the status."""

    status: int
    shown: str
    error: LlmstreamError | None = None
    late: bool = False


FAULTS = {
    "401": Fault(401, "wants a token"),
    "403": Fault(403, "Not for you.", Forbidden("Not for you.")),
    "422": Fault(422, "Not like this.", InvalidRequest("Not like this.")),
    "502": Fault(502, "Ollama is not running"),
    "503": Fault(503, "Too much to do.", UpstreamBusy("Too much to do.")),
    "late": Fault(200, "The answer broke off.", UpstreamTruncated("The answer broke off."), late=True),
}


def failing(fault: Fault) -> object:
    """A chain that fails at once or in the middle; None for the default chain."""
    if fault.error is None:
        return None

    async def answer(question: str) -> AsyncIterator[str]:
        if fault.late:
            yield "Server-sent "
        raise fault.error or AssertionError

    return answer


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The address of a server for each fault."""
    with ExitStack() as stack:
        found = {}
        for name, fault in FAULTS.items():
            token = "secret" if fault.status == 401 else None
            settings = Settings(ollama_url=NOBODY, model="demo", demo="never", token=token)
            app = create_app(settings, chain=failing(fault), name="demo")
            found[name] = stack.enter_context(serving(app)).url
        yield found


def snippets(page: str, language: str) -> list[object]:
    """The snippets of a language that ask a server, named after the package that they import last."""
    found = [code for kind, code in BLOCK.findall(page) if kind == language and SERVER in code]
    imported = re.compile(r'(?:from "|^from |^import )([^"\s]+)', re.MULTILINE)
    return [pytest.param(code, id=(imported.findall(code) or [code.split("(")[0].split()[-1]])[-1]) for code in found]


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> str:
    """The name of a fault."""
    return str(request.param)


def told(fault: str, said: str) -> bool:
    """Whether what is said names the fault: by its words, or by its status, which is 400 for 422 in some dialects."""
    status = "(422|400)" if fault == "422" else fault
    if FAULTS[fault].late:
        return FAULTS[fault].shown in said
    return FAULTS[fault].shown in said or re.search(rf"\b{status}\b", said) is not None


@pytest.fixture(scope="module")
def python() -> Iterator[WarmPython]:
    """A Python that has imported what the snippets need."""
    with warm_python(imports="anthropic, httpx_sse, langchain_openai, langgraph_sdk, ollama, openai") as python:
        yield python


@pytest.fixture(scope="module")
def said(servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What a snippet said of a fault: one process of Node runs it against every server, one after the other."""

    @functools.cache
    def by_fault(
        code: str, kind: str, wanted: Callable[[str], str] | None = None, faults: tuple[str, ...] = tuple(FAULTS)
    ) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("snippet")
        (folder / "node_modules").symlink_to(built(CLIENTS) / "node_modules")
        arguments: list[str] = []
        for fault in faults:
            path = folder / f"{fault}.{kind}"
            path.write_text(code.replace(SERVER, servers[fault]))
            arguments += [str(path), *([wanted(fault)] if wanted else [])]
        program = built(CLIENTS) / ("pages.mjs" if wanted else "each.mjs")
        return dict(zip(faults, run_program(program, *arguments), strict=True))

    return lambda fault, *asked: by_fault(*asked)[fault]


@pytest.mark.parametrize("code", snippets(CLIENTS_PAGE, "ts"))
def test_program_says_what_is_wrong(code: str, fault: str, said: Callable[..., str]) -> None:
    """A program for Node ends, and says it."""
    assert told(fault, text := said(fault, code, "mjs")), text


@pytest.mark.parametrize("code", snippets(CLIENTS_PAGE, "python"))
def test_python_says_what_is_wrong(
    code: str, fault: str, servers: dict[str, str], python: WarmPython, tmp_path: Path
) -> None:
    """A Python snippet raises it."""
    _, output, errors = python.run(code.replace(SERVER, servers[fault]), tmp_path, os.environ)
    assert told(fault, output + errors), output + errors


def shown(fault: str) -> str:
    """What a page is to show of a fault."""
    return FAULTS[fault].shown


@pytest.mark.parametrize("code", snippets(CLIENTS_PAGE, "tsx"))
def test_page_shows_what_is_wrong(code: str, fault: str, said: Callable[..., str]) -> None:
    """A page's snippet shows it."""
    assert shown(fault) in said(fault, code, "tsx", shown)


def refused(fault: str) -> str:
    """What an EventSource can tell of a fault: of a refusal, that it was one."""
    return shown(fault) if FAULTS[fault].late else "The server refused to answer."


@pytest.mark.parametrize("code", snippets(README, "tsx")[1:])
def test_readme_shows_what_is_wrong(code: str, fault: str, said: Callable[..., str]) -> None:
    """The ways of the README: an EventSource tells of a refusal that it was one, the others what it was."""
    # Without `setAnswer` one reads no further than the response.
    faults = tuple(name for name in FAULTS if "setAnswer" in code or not FAULTS[name].late)
    wanted = refused if "new EventSource" in code else shown
    if fault in faults:
        assert wanted(fault) in said(fault, AROUND + code, "tsx", wanted, faults)


def test_the_hook_shows_what_is_wrong() -> None:
    """The README's first way shows why an answer is not whole: its error, too, as the hook's own tests hold."""
    first = next(code for kind, code in BLOCK.findall(README) if kind == "tsx")
    assert '<strong role="alert">{whyIncomplete(message.run)}' in first
