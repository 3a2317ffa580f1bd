"""A real JupyterLab in a real Chromium: an answer that grows, ways to stop it, hostile text, the chat, a reload."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from nbconvert.exporters import HTMLExporter
from playwright.sync_api import Locator, Page, expect

from llmstream.demo_ollama import DemoOllama, Model, Pause
from tests.support.browser import kept_profile
from tests.support.hard_texts import HARD_TEXTS
from tests.support.kernels import new_notebook

pytestmark = pytest.mark.timeout(180)

TIMEOUT_MS = 40_000
STALLED = "1 2 3"  # what demo:stall-3 says before it falls silent
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
EVIL = (
    'Begin <img src=x onerror="window.pwned = 1"> <script>window.pwned = 1</script> '
    "[click](javascript:window.pwned=1)\n\n<iframe srcdoc='<script>parent.pwned = 1</script>'></iframe>\n\nThe end."
)
WIDE = (
    "# Title\n\n" + "x" * 200 + "\n\n```python\n" + "y" * 300 + "\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThe end."
)
IMPORT, GROWING, INTERRUPTED, HOSTILE, LARGE, TALK, COLUMNS, CALLBACK, TEXTS, CLOSE = CELLS = (
    "%load_ext llmstream\nfrom llmstream.notebook import *",
    "await show('Why?', model='demo:endless-30')",
    "answer = await show('Why?', model='demo:stall-3')\nprint(answer.state, repr(answer.text))",
    "%%llm\nEvil",
    "await show('Wide', thinking=True, model='demo-thinking')",
    "chat = Chat()\nchat",
    "import ipywidgets\nleft, right = ipywidgets.Output(), ipywidgets.Output()\n"
    "display(ipywidgets.HBox([left, right]))\nwith right:\n    await show('Why?', model='demo:stall-3')",
    "import ipywidgets\nplace, button = ipywidgets.Output(), ipywidgets.Button(description='Ask it')\n"
    "def ask(button):\n    with place:\n        show_sync('Hello')\n"
    "button.on_click(ask)\nipywidgets.VBox([button, place])",
    f"for number in range({len(HARD_TEXTS)}):\n    await show(f'Text {{number}}')",
    "chat.close()",
)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Its dialogs and its news would stand before the notebook; cells out of sight and further outputs would not be there.
LAB_SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"adaptive-theme": True},
    "notebook-extension/tracker": {"windowingMode": "none", "maxNumberOutputs": 1000},
}


@pytest.fixture(scope="module")
def ollama() -> Iterator[DemoOllama]:
    """The demo Ollama of the kernel, with fault scenarios that the chat can pick."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as server:
        server.answers |= {"Hello": "Hi there.", "Evil": EVIL, "Wide": WIDE}
        server.answers |= {f"Text {number}": text.text for number, text in enumerate(HARD_TEXTS)}
        server.models["demo:stall-3"] = Model("demo:stall-3")
        server.models["sees:latest"] = Model("sees:latest", capabilities=("completion", "vision"))
        yield server


@contextmanager
def running_lab(folder: Path, ollama_url: str) -> Iterator[str]:
    """A JupyterLab on the notebooks of a folder, which also keeps all its other files; gives its address."""
    for name, settings in LAB_SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    places |= {f"JUPYTER_{kind.upper()}_DIR": kind for kind in ("config", "data", "runtime")}
    environment = {
        **os.environ,
        **{variable: str(folder / place) for variable, place in places.items()},
        "OLLAMA_HOST": ollama_url,
        "LLMSTREAM_DEMO": "never",
        "LLMSTREAM_MODEL": "demo",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    server = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder}"]
    command = [sys.executable, "-m", "jupyterlab", *server, "--IdentityProvider.token=", "--expose-app-in-browser"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        address = next((found[0] for found in told if found), None)
        reading = threading.Thread(target=process.stderr.read)
        reading.start()
        try:
            assert address is not None, "JupyterLab did not start"
            yield address
        finally:
            process.terminate()
            # A thread of AnyIO's that it forgot to end may keep it for ever; its kernel is gone then.
            with suppress(subprocess.TimeoutExpired):
                process.wait(TIMEOUT_MS / 1000)
            process.kill()
            reading.join()


class Notebook:
    """The notebook that is open in the browser."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    def cell(self, source: str) -> Locator:
        """The cell with this code."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(CELLS.index(source))

    def output(self, source: str) -> Locator:
        """What is shown below a cell."""
        return self.cell(source).locator(".jp-Cell-outputArea")

    def run(self, source: str) -> Locator:
        """Begin to execute a cell; its output."""
        self.cell(source).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        return self.output(source)

    def press(self, name: str) -> None:
        """Press a button of the toolbar."""
        self.page.locator(f"[data-jp-item-name={name}]").get_by_role("button").click()

    def save(self) -> list[dict[str, Any]]:
        """Save it; all outputs that are in the file then."""
        with self.page.expect_response(lambda got: got.request.method == "PUT" and "/api/contents" in got.url):
            self.press("save")
        return [output for cell in json.loads(self.path.read_text())["cells"] for output in cell["outputs"]]

    def wait_ready(self) -> None:
        """Wait until the page has its kernel: before that it executes nothing, and says that the kernel is idle."""
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext", timeout=TIMEOUT_MS)
        self.page.evaluate(
            "async () => { const context = jupyterapp.shell.currentWidget.sessionContext;"
            " await context.ready; await context.session.kernel.info; }"
        )

    def reload(self) -> None:
        """Load the page anew, as the notebook was saved."""
        self.page.reload()
        self.wait_ready()

    def ask(self, question: str) -> Locator:
        """Type a question into the chat, and press Enter; the panel."""
        field = self.output(TALK).get_by_placeholder("Ask something")
        field.fill(question, timeout=TIMEOUT_MS)
        field.press("Enter")
        return self.output(TALK)


def contains(place: Locator, text: str) -> None:
    """Waits until a text is there."""
    expect(place).to_contain_text(text, timeout=TIMEOUT_MS)


@pytest.fixture(scope="module")
def notebook(ollama: DemoOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook whose kernel has executed its first cell."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "test.ipynb").write_text(json.dumps(new_notebook(*CELLS)))
    with running_lab(folder, ollama.url) as url, kept_profile() as profile:
        page = profile.new_page()
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{url}/doc/tree/test.ipynb", timeout=TIMEOUT_MS)
        opened = Notebook(page, folder / "test.ipynb")
        opened.wait_ready()
        opened.run(IMPORT)
        expect(opened.cell(IMPORT).locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=TIMEOUT_MS)
        yield opened


def test_text_grows_until_stop_is_pressed(notebook: Notebook, ollama: DemoOllama) -> None:
    """The answer is there while it grows; Stop ends it, frees the model, keeps the text, and is gone then."""
    output = notebook.run(GROWING)
    contains(output, STALLED)
    contains(output, "28 29 30")
    assert 1 == ollama.active
    output.get_by_role("button", name="Stop").click()
    contains(output, "Stopped: the answer is not complete.")
    assert ollama.wait_idle()
    expect(output.get_by_role("button")).to_have_count(0)
    contains(output, "28 29 30")


def test_interrupt_button(notebook: Notebook, ollama: DemoOllama) -> None:
    """The ■ of the toolbar ends the answer as well, without an error, and the rest of the cell is executed."""
    output = notebook.run(INTERRUPTED)
    contains(output, STALLED)
    notebook.press("interrupt")
    contains(output, "cancelled ' 1 2 3'")
    assert ollama.wait_idle()
    assert [STALLED, "Stopped: the answer is not complete.", "cancelled ' 1 2 3'"] == [
        each.strip() for each in output.locator(".jp-OutputArea-output").all_inner_texts()
    ]


def test_answer_in_columns(notebook: Notebook, ollama: DemoOllama) -> None:
    """In an `ipywidgets.Output` of a row the answer is there while it comes, and is stopped."""
    output = notebook.run(COLUMNS)
    contains(output, STALLED)
    output.get_by_role("button", name="Stop").click()
    contains(output, "Stopped: the answer is not complete.")
    assert ollama.wait_idle()
    contains(output, STALLED)


def test_answer_in_a_callback(notebook: Notebook) -> None:
    """What a button asks is answered in the `ipywidgets.Output` that its callback shows things in."""
    output = notebook.run(CALLBACK)
    output.get_by_role("button", name="Ask it").click(timeout=TIMEOUT_MS)
    contains(output, "Hi there.")
    contains(output, "tokens/s")


def lost(whole: str) -> list[tuple[str, list[str]]]:
    """The words of the hard texts that can't be read."""
    return [(text.name, words) for text in HARD_TEXTS if (words := text.missing(whole))]


def exported(notebook: Notebook) -> str:
    """What a person reads in the HTML of the saved notebook."""
    html, _ = HTMLExporter(template_name="basic").from_filename(str(notebook.path))  # type: ignore[no-untyped-call]
    page = notebook.page.context.new_page()
    page.set_content(html)
    whole = page.locator("body").inner_text()
    page.close()
    return str(whole)


def test_every_word_can_be_read(notebook: Notebook) -> None:
    """Nothing that a model wrote is lost, prices are no formulas and formulas are; in the file and its HTML as well."""
    output = notebook.run(TEXTS)
    lines = output.locator(".jp-OutputArea-output").filter(has_text="tokens/s")
    expect(lines).to_have_count(len(HARD_TEXTS), timeout=2 * TIMEOUT_MS)
    # What comes faster than JupyterLab draws may be drawn in another order, so the page is looked at anew.
    notebook.save()
    notebook.reload()
    expect(lines).to_have_count(len(HARD_TEXTS), timeout=TIMEOUT_MS)
    expect(output.locator("mjx-container")).to_have_count(sum(text.formulas for text in HARD_TEXTS), timeout=TIMEOUT_MS)
    shown = output.locator(".jp-OutputArea-output").filter(has_not_text="tokens/s")
    formulas = [each.locator("mjx-container").count() for each in shown.all()]
    texts = [each.inner_text() for each in shown.all()]
    assert [] == [
        (text.name, words) for text, what in zip(HARD_TEXTS, texts, strict=True) if (words := text.missing(what))
    ]
    assert [(text.name, text.formulas) for text in HARD_TEXTS] == [
        (text.name, count) for text, count in zip(HARD_TEXTS, formulas, strict=True)
    ]
    assert [] == lost(exported(notebook))


def test_every_word_can_be_read_in_the_chat(notebook: Notebook) -> None:
    """Nothing is lost in the panel, nor in what it leaves in the file when it is closed, nor in the HTML of that."""
    panel = notebook.run(TALK)
    for number in range(len(HARD_TEXTS)):
        notebook.ask(f"Text {number}")
        expect(panel.get_by_text("tokens/s")).to_have_count(number + 1, timeout=TIMEOUT_MS)
    assert [] == lost(panel.inner_text())
    notebook.run(CLOSE)
    expect(panel.get_by_role("button")).to_have_count(0, timeout=TIMEOUT_MS)
    notebook.save()
    notebook.reload()
    contains(panel, f"Text {len(HARD_TEXTS) - 1}")
    assert [] == lost(panel.inner_text())
    assert [] == lost(exported(notebook))


def test_hostile_answer_is_inert(notebook: Notebook) -> None:
    """HTML in an answer is shown as text, in the cell of the magic and in the chat; nothing in it runs or is loaded."""
    notebook.run(TALK)
    for output in (notebook.run(HOSTILE), notebook.ask("Evil")):
        contains(output, "tokens/s")
        contains(output, '<img src=x onerror="window.pwned = 1"> <script>window.pwned = 1</script>')
        expect(output.locator(".jp-RenderedMarkdown :is(img, script, iframe, svg, style)")).to_have_count(0)
        expect(output.locator(".jp-RenderedMarkdown a[href^=javascript]")).to_have_count(0)
    assert notebook.page.evaluate("window.pwned === undefined")


def test_chat(notebook: Notebook, ollama: DemoOllama) -> None:
    """In the chat a question is asked with Enter, stopped, and asked again of another model."""
    panel = notebook.run(TALK)
    contains(notebook.ask("Hello"), "Hi there.")
    contains(panel, "tokens/s")
    panel.locator("select").select_option("demo:stall-3")
    contains(notebook.ask("Why?"), STALLED)
    panel.get_by_role("button", name="Stop").click()
    contains(panel, "Stopped: the answer is not complete.")
    assert ollama.wait_idle()
    panel.locator("select").select_option("demo:latest")
    panel.get_by_role("button", name="Retry").click()
    contains(panel, "I am llmstream's demo")
    expect(panel).not_to_contain_text(STALLED)


def test_image_in_the_chat(notebook: Notebook, ollama: DemoOllama) -> None:
    """An image that is chosen goes with the question, and is seen above the answer."""
    panel = notebook.run(TALK)
    panel.locator("select").select_option("sees:latest", timeout=TIMEOUT_MS)
    button = panel.get_by_role("button", name="Image")
    with notebook.page.expect_file_chooser() as choosing:
        button.click()
    choosing.value.set_files({"name": "dot.png", "mimeType": "image/png", "buffer": base64.b64decode(PNG)})
    expect(button).to_contain_text("(1)", timeout=TIMEOUT_MS)
    contains(notebook.ask("Hello"), "Hi there.")
    assert [PNG] == ollama.requests[-1].body["messages"][-1]["images"]
    expect(panel.locator("img")).to_have_js_property("naturalWidth", 1, timeout=TIMEOUT_MS)
    expect(button).to_contain_text("(0)", timeout=TIMEOUT_MS)


def test_saved_notebook(notebook: Notebook, ollama: DemoOllama) -> None:
    """Answers are saved as Markdown and plain text, and are there after a reload; the chat is, too, and goes on."""
    contains(notebook.run(HOSTILE), "tokens/s")
    notebook.run(TALK)
    contains(notebook.ask("Hello"), "tokens/s")
    answers = [output["data"] for output in notebook.save() if "text/markdown" in output.get("data", {})]
    assert EVIL in ["".join(each["text/plain"]) for each in answers]
    assert {"text/markdown", "text/plain"} == {kind for each in answers for kind in each}
    notebook.reload()
    contains(notebook.output(HOSTILE), "The end.")
    assert notebook.page.evaluate("window.pwned === undefined")
    contains(notebook.output(TALK), "Hi there.")
    notebook.ask("And now?")
    contains(notebook.output(TALK), "I am llmstream's demo")
    contents = [message["content"] for message in ollama.requests[-1].body["messages"]]
    assert ["Hello", "Hi there.", "And now?"] == contents


def test_a_long_chat_scrolls_inside(notebook: Notebook, ollama: DemoOllama) -> None:
    """The field stays on the screen, and the newest text is seen: who has scrolled up sees it when he asks again."""
    lines = [f"Line {number}.\n\n" for number in range(60)]
    ollama.answers["Long"] = "".join(lines)
    ollama.answers["Growing"] = [*lines[:30], Pause(3), *(part for line in lines[30:] for part in (Pause(0.02), line))]
    panel = notebook.run(TALK)
    contains(notebook.ask("Long"), "tokens/s")
    field = panel.get_by_placeholder("Ask something")
    field.scroll_into_view_if_needed()
    expect(panel.get_by_text("Line 59.")).to_be_in_viewport(timeout=TIMEOUT_MS)
    expect(panel.get_by_text("Line 0.", exact=True)).not_to_be_in_viewport()
    box = panel.bounding_box()
    assert box is not None
    assert box["height"] < 900
    panel.get_by_text("Line 0.", exact=True).scroll_into_view_if_needed()
    notebook.ask("Growing")
    expect(panel.get_by_text("Line 29.", exact=True).nth(1)).to_be_in_viewport(timeout=TIMEOUT_MS)
    expect(panel.get_by_text("tokens/s")).to_have_count(2, timeout=TIMEOUT_MS)
    expect(panel.get_by_text("Line 59.").nth(1)).to_be_in_viewport(timeout=TIMEOUT_MS)
    panel.get_by_text("Line 0.", exact=True).nth(0).scroll_into_view_if_needed()
    contains(notebook.ask("Hello"), "Hi there.")
    expect(panel.get_by_text("Hi there.")).to_be_in_viewport(timeout=TIMEOUT_MS)


def test_who_has_scrolled_up_stays_there(notebook: Notebook, ollama: DemoOllama) -> None:
    """While an answer comes, its reader stays where he has scrolled, and follows it again from its end."""
    lines = [f"Row {row}.\n\n" for row in range(1000)]
    ollama.answers["Rows"] = [*lines[:40], *(part for line in lines[40:] for part in (Pause(0.1), line))]
    panel = notebook.run(TALK)
    rows, end = notebook.ask("Rows").get_by_text(re.compile(r"^Row \d+\.$")), panel.get_by_text("last text at")

    def expect_growth() -> None:
        expect(rows.nth(rows.count() + 10)).to_be_attached(timeout=TIMEOUT_MS)

    contains(panel, "Row 80.")  # four seconds after the question: it is held at the end for two
    expect(end).to_be_in_viewport(timeout=TIMEOUT_MS)
    scrolled, read = panel.locator(".llmstream-scrolled"), panel.get_by_text("Row 18.", exact=True)
    scrolled.evaluate("each => { each.scrollTop = 500; }")
    expect_growth()
    expect(read).to_be_in_viewport()
    expect(end).not_to_be_in_viewport()
    scrolled.hover()
    notebook.page.mouse.wheel(0, 1_000_000)
    expect(end).to_be_in_viewport(timeout=TIMEOUT_MS)
    expect_growth()
    expect(end).to_be_in_viewport()
    panel.get_by_role("button", name="Stop").click()
    contains(panel, "Stopped: the answer is not complete.")


def test_fits_the_screen(notebook: Notebook) -> None:
    """On a phone and on a desk, light and dark: no line of an answer or of the chat is cut off."""
    contains(notebook.run(LARGE), "tokens/s")
    notebook.run(TALK)
    contains(notebook.ask("Wide"), "tokens/s")
    for width, scheme in product((1280, 390), SCHEMES):
        notebook.page.set_viewport_size({"width": width, "height": 900})
        notebook.page.emulate_media(color_scheme=scheme)
        is_light = str(scheme == "light").lower()
        expect(notebook.page.locator(f"body[data-jp-theme-light={is_light}]")).to_have_count(1, timeout=TIMEOUT_MS)
        shown = notebook.page.locator(".jp-OutputArea-output :is(p, pre, td, button, input, select)")
        beyond = "(all, width) => all.map(each => each.getBoundingClientRect().right).filter(right => right > width)"
        assert [] == shown.evaluate_all(beyond, width)


def test_no_button_is_left_of_a_kernel_that_died(notebook: Notebook) -> None:
    """Neither in the page nor after a reload is there one that does nothing, or an answer that passes for a whole one.

    Last: the kernel is a new one.
    """
    panel = notebook.run(TALK)
    notebook.ask("Hello")
    contains(panel, "Hi there.")
    growing = notebook.run(GROWING)
    expect(growing.get_by_role("button", name="Stop")).to_be_enabled(timeout=TIMEOUT_MS)
    contains(growing, STALLED)
    notebook.save()
    notebook.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    notebook.wait_ready()
    contains(growing, "Not complete · last text at")
    for place in (panel, growing):
        expect(place.get_by_role("button")).to_have_count(0, timeout=TIMEOUT_MS)
    notebook.reload()
    contains(growing, "Not complete · last text at")
    for place in (panel, growing):
        expect(place.get_by_role("button")).to_have_count(0, timeout=TIMEOUT_MS)
