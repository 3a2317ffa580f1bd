"""The recipes of docs/recipes.md, each run as it stands by the Python of its own environment, and used in a browser.

A person asks, clicks on something else in the middle of the answer, and sees all of it; sees that an answer broke off;
and leaves in the middle of one, upon which the model is free.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.browser import find_chromium
from tests.support.ports import free_port
from tests.support.serving import serving

PROGRAM = Path(__file__).parent / "programs" / "with_jupyter_ai.py"
START_S = 90
ANSWER_MS = 60_000
# Behind the grace time of a run.
LEFT_S = 30

ANSWER = " ".join(f"word{number}" for number in range(100))
ANSWERS = {"All of it?": ANSWER, "The half of it?": ANSWER, "For nobody?": "on " * 10_000}
BEGUN, LAST, BROKE_OFF = "word3 ", "word98 word99", re.compile("broke off", re.IGNORECASE)


@dataclass(frozen=True)
class Framework:
    """A recipe's command, with a widget that the app around it has, and whether it can tell that somebody left."""

    command: str
    widget: str = ""
    tells: bool = True


FRAMEWORKS = {
    "streamlit": Framework(
        "streamlit run recipe.py --server.address 127.0.0.1 --server.port {port} --server.headless true"
        " --browser.gatherUsageStats false",
        widget='import streamlit\nstreamlit.checkbox("Large")\n',
    ),
    "chainlit": Framework("chainlit run recipe.py --headless --port {port}"),
    "panel": Framework("panel serve recipe.py --address 127.0.0.1 --port {port}"),
    "shiny": Framework("shiny run recipe.py --port {port}"),
    "marimo": Framework("marimo run recipe.py --headless --port {port}", tells=False),
}
NAMES = [*FRAMEWORKS, "jupyter-ai"]


def recipe(name: str) -> str:
    """The code of a recipe, whose block says so behind the word python."""
    page = (ROOT / "docs" / "recipes.md").read_text()
    found = re.search(rf"^```python {name}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    if found is None:
        raise LookupError(f"docs/recipes.md has no recipe for {name}.")
    return found[1]


@contextmanager
def process(name: str, python: Path, ollama: str, code: str, *command: object) -> Iterator[subprocess.Popen[str]]:
    """A recipe's own process, in a folder with nothing but the recipe; what it said is printed where a check fails."""
    environment = {
        "PATH": f"{python.parent.absolute()}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OLLAMA_HOST": ollama,
        "LLMSTREAM_MODEL": "demo",
        "LLMSTREAM_DEMO": "never",
    }
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        (Path(folder) / "recipe.py").write_text(code)
        with subprocess.Popen(
            [python.absolute(), *map(str, command)],
            cwd=folder,
            env={**environment, "HOME": folder},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        ) as started:
            try:
                yield started
            except BaseException:
                log.seek(0)
                print(log.read()[-3000:])
                raise
            finally:
                started.kill()


def ask(page: Page, demo: DemoOllama, question: str) -> None:
    """Sends a question; returns when the model answers."""
    field = page.locator("textarea, [contenteditable=true]").last
    field.fill(question, timeout=ANSWER_MS)
    for _ in range(START_S):  # a page may be there before its connection is
        field.press("Enter")
        if demo.wait_active(timeout_s=1):
            return
    raise AssertionError(f"{question!r} did not reach the model")


def use(page: Page, demo: DemoOllama, framework: Framework) -> None:
    """Raises where a page does not do what docs/recipes.md says."""
    body = page.locator("body")
    ask(page, demo, "All of it?")
    expect(body).to_contain_text(BEGUN, timeout=ANSWER_MS)
    if framework.widget:
        page.get_by_text("Large").click()
        assert LAST not in body.inner_text(), "the click came when the answer had ended"
    expect(body).to_contain_text(LAST, timeout=ANSWER_MS)
    expect(body).to_contain_text(ANSWER)

    ask(page, demo, "The half of it?")
    page.wait_for_timeout(500)
    demo.close()
    expect(body).to_contain_text(BROKE_OFF, timeout=ANSWER_MS)
    demo.start()

    if framework.tells:
        ask(page, demo, "For nobody?")
        page.close()
        assert demo.wait_idle(timeout_s=LEFT_S), "the model answers nobody"


def check(name: str, python: Path, server: str, demo: DemoOllama, browser: Browser) -> None:
    """Raises where a recipe does not do what the page says."""
    code = recipe(name).replace("http://localhost:8000", server)
    if name not in FRAMEWORKS:
        with process(name, python, demo.url, code, PROGRAM, "recipe.py") as started:
            assert started.wait(START_S) == 0, f"the program ended with {started.returncode}"
        assert demo.wait_idle(timeout_s=LEFT_S), "the model answers nobody"
        return
    framework, port = FRAMEWORKS[name], free_port()
    command = ["-m", *shlex.split(framework.command.format(port=port))]
    with process(name, python, demo.url, framework.widget + code, *command), browser.new_page() as page:
        with httpx.Client(transport=httpx.HTTPTransport(retries=12), timeout=START_S) as client:
            client.get(f"http://127.0.0.1:{port}/")  # tried again with growing pauses, while nobody listens
        page.goto(f"http://127.0.0.1:{port}/")
        use(page, demo, framework)


def checked(environments: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each recipe with what is wrong with it."""
    with sync_playwright() as playwright, DemoOllama(tokens_per_s=20, scenarios=True) as demo:
        demo.answers.update(ANSWERS)
        settings = Settings(ollama_url=demo.url, model="demo", demo="never")
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        with serving(create_app(settings)) as served, browser:
            for name in names:
                try:
                    check(name, environments / name / "bin" / "python", served.url, demo, browser)
                    yield name, []
                except Exception as error:
                    demo.start()  # which a recipe before this one may have left closed
                    yield name, [f"{type(error).__name__}: {error}"]
