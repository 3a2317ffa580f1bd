"""The chat panel, driven as a front end drives it: by messages to its widgets."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama, Model
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from llmstream.notebook.controls import WITHOUT_KERNEL
from llmstream.notebook.scrolled import STYLE
from tests.support.kernels import Kernel
from tests.support.notebook_panel import Panel

STALLED = " 1 2 3"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module", autouse=True)
def ollama(kernels_ollama: DemoOllama) -> DemoOllama:
    """The demo Ollama of the kernels, which knows these questions and models."""
    kernels_ollama.answers |= {"Hello": "Hi there.", "Evil": EVIL}
    names = ("demo:stall-3", "demo:newlines", "demo:error-line", "demo:length")
    kernels_ollama.models |= {name: Model(name) for name in names}
    kernels_ollama.models["sees:latest"] = Model("sees:latest", capabilities=("completion", "vision"))
    return kernels_ollama


def questions(ollama: DemoOllama) -> list[list[dict[str, Any]]]:
    """The messages that were sent to the model, for each question."""
    return [record.body["messages"] for record in ollama.requests if record.path == "/api/chat"]


@pytest.fixture
def panel(kernel: Kernel) -> Iterator[Panel]:
    """A chat panel with nothing said."""
    yield Panel(kernel)
    kernel.run("chat.close()")
    assert {} == kernel.widgets


def test_conversation(panel: Panel, ollama: DemoOllama) -> None:
    """A question is answered below it, and the next one is asked with the conversation before it."""
    panel.ask("Hello")
    panel.wait_for("tokens/s")
    panel.wait_ended()
    assert ["Hello", "Hi there."] == [bundle["text/plain"] for bundle in panel.shown()[:2]]
    panel.ask("Hello")
    panel.kernel.wait(lambda: len(panel.shown()) == 6)
    panel.wait_ended()
    contents = [(each["role"], each["content"]) for each in questions(ollama)[-1]]
    assert [("user", "Hello"), ("assistant", "Hi there."), ("user", "Hello")] == contents
    assert 4 == len(panel.kernel.value("chat.messages"))


def test_stop_and_retry(panel: Panel, ollama: DemoOllama) -> None:
    """Stop keeps what came and frees the model; Retry asks the same again, in place of that answer."""
    panel.pick("demo:stall-3")
    panel.ask("Why?")
    panel.wait_for(STALLED)
    assert [True, False] == [panel.button("Send")["disabled"], panel.button("Stop")["disabled"]]
    panel.kernel.press("Stop")
    panel.wait_for("Stopped: the answer is not complete.")
    assert ollama.wait_idle(timeout_s=1)
    panel.wait_ended()
    panel.pick("demo:newlines")
    panel.kernel.press("Retry")
    panel.wait_for("tokens/s")
    panel.wait_ended()
    assert ["Why?", NEWLINES] == [bundle["text/plain"] for bundle in panel.shown()[:2]]
    assert 2 == len(panel.kernel.value("chat.messages"))


def test_a_cut_answer_is_continued(panel: Panel, ollama: DemoOllama) -> None:
    """Continue stands there only then; it adds to the answer, also of the conversation, as often as that is cut."""
    assert "none" == panel.layout("Continue")["display"]
    panel.pick("demo:length")
    panel.ask("Why?")
    panel.wait_for("cut at its length limit")
    panel.wait_ended()
    for text in ("The sky is blue because air scatters blue light more", SENTENCE):
        assert panel.layout("Continue")["display"] is None
        panel.kernel.press("Continue")
        panel.wait_for(text)
        panel.wait_ended()
    assert ["Why?", SENTENCE] == [bundle["text/plain"] for bundle in panel.shown()[:2]]
    assert ["Why?", SENTENCE] == [each["content"] for each in panel.kernel.value("chat.messages")]


def test_what_can_not_be_continued_stays(kernel: Kernel) -> None:
    """Continue is not offered for such a chain; one that is refused says why, and what there is of the answer stays."""
    kernel.run("async def breaks(question):\n    yield 'One, two'\n    raise ValueError('three')")
    panel = Panel(kernel, "Chat(breaks)")
    panel.ask("Count.")
    panel.wait_for("The answer is not complete")
    panel.wait_ended()
    kernel.press("Continue")
    panel.wait_for("⚠️ *The answer is not complete.* This chain's answer can't be continued")
    panel.wait_ended()
    assert ["Count.", "One, two"] == [bundle["text/plain"] for bundle in panel.shown()[:2]]
    assert ["Count.", "One, two"] == [each["content"] for each in kernel.value("chat.messages")]
    assert "none" == panel.layout("Continue")["display"]
    kernel.run("chat.close()")


def test_error_is_told_in_the_panel(panel: Panel) -> None:
    """An answer that fails keeps what came and says what is wrong and what to do."""
    panel.pick("demo:error-line")
    panel.ask("Why?")
    panel.wait_for("The answer is not complete")
    panel.wait_ended()
    assert "Ollama" in panel.shown()[-1]["text/plain"]
    assert panel.shown()[1]["text/plain"] == panel.kernel.value("chat.messages")[1]["content"]


def test_nothing_of_people_or_models_is_html(panel: Panel) -> None:
    """What was asked and answered is shown as Markdown and as plain text; no widget gets it as HTML."""
    panel.ask("Evil")
    panel.wait_for("tokens/s")
    assert EVIL == panel.shown()[1]["text/plain"]
    assert "&lt;img src=x onerror=alert(1)>" == panel.shown()[1]["text/markdown"]
    html = {state["value"] for state in panel.kernel.widgets.values() if state.get("_model_name") == "HTMLModel"}
    assert {WITHOUT_KERNEL, STYLE} == html  # our own, the same in every panel


def test_blank_question_is_not_asked(panel: Panel) -> None:
    """Enter in an empty field does nothing, and the Send button does the same as Enter."""
    panel.ask("  ")
    panel.send("Hello")
    panel.wait_for("tokens/s")
    assert "Hello" == panel.shown()[0]["text/plain"]


def test_question_that_was_typed_before(panel: Panel, ollama: DemoOllama) -> None:
    """A field that was left asks nothing; Enter in it later does, though no new text comes with it."""
    asked = len(questions(ollama))
    text = panel.kernel.find(_model_name="TextModel")
    panel.kernel.set(text, value="Hello")
    assert [] == panel.kernel.value("chat.messages")
    panel.kernel.submit(text)
    panel.wait_for("tokens/s")
    assert ["Hello"] == [messages[0]["content"] for messages in questions(ollama)[asked:]]


def test_unattended_chat_leaves_a_hint(kernel: Kernel) -> None:
    """Where nobody can use it, as under nbclient, there is a line instead of the panel, or what code has asked."""
    cell = kernel.run("unattended = Chat()\nunattended", allow_stdin=False)
    hint = "A chat panel: run the cell to use it."
    assert [[{"text/markdown": f"*{hint}*", "text/plain": hint}], {}] == [cell.bundles, kernel.widgets]
    sent = kernel.run("await unattended.send('Hello')", allow_stdin=False)
    again = kernel.run("unattended", allow_stdin=False)
    said = {"text/markdown": "**You:** Hello\n\nHi there.", "text/plain": "> Hello\n\nHi there."}
    assert [["Hi there."], [said], {}] == [sent.plain, again.bundles, kernel.widgets]


def test_voila_shows_the_panel(kernel: Kernel) -> None:
    """Voilà runs a notebook as nbclient does, and then shows its widgets to a person."""
    kernel.run("import os\nos.environ['VOILA_KERNEL_ID'] = '1'")
    cell = kernel.run("chat = Chat()\nchat", allow_stdin=False)
    kernel.run("del os.environ['VOILA_KERNEL_ID']")
    assert ["application/vnd.jupyter.widget-view+json" in bundle for bundle in cell.bundles] == [True]
    kernel.run("chat.close()")


def test_closed_chat_leaves_its_conversation(kernel: Kernel) -> None:
    """Closed, the panel gives place to the conversation in Markdown, which the saved notebook keeps."""
    panel = Panel(kernel)
    panel.ask("Hello")
    panel.wait_for("tokens/s")
    panel.wait_ended()
    kernel.run("chat.close()")
    expected = {"text/markdown": "**You:** Hello\n\nHi there.", "text/plain": "> Hello\n\nHi there."}
    assert [[expected], {}] == [panel.cell.bundles, kernel.widgets]


def test_system_prompt(kernel: Kernel, ollama: DemoOllama) -> None:
    """It is sent before every question, in place of the one that is set, and is part of the messages."""
    kernel.run("import os; os.environ['LLMSTREAM_SYSTEM_PROMPT'] = 'Be long.'\nchat = Chat(system='Be brief.')")
    cell = kernel.run(
        "answers = [await chat.send('Hello') for _ in range(2)]\nos.environ.pop('LLMSTREAM_SYSTEM_PROMPT')"
    )
    assert [] == cell.errors
    said = [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi there."), ("user", "Hello")]
    assert said == [(each["role"], each["content"]) for each in questions(ollama)[-1]]
    assert said == [(each["role"], each["content"]) for each in kernel.value("chat.messages")[:-1]]
    assert "Hi there." == kernel.value("answers[1].text")
    assert "system belongs to the default chain" in kernel.run("Chat(print, system='x')").errors[0]["evalue"]
    kernel.run("chat.close()")


def test_sending_from_a_cell(panel: Panel) -> None:
    """What code sends stands in the panel; its answer is not shown twice, can be forgotten to be awaited, and fails."""
    assert [] == panel.kernel.run("await chat.send('Hello')").outputs
    assert ["Hello", "Hi there."] == [bundle["text/plain"] for bundle in panel.shown()[:2]]
    assert [] == panel.kernel.run("chat.send('Evil')").outputs
    panel.kernel.wait(lambda: len(panel.shown()) == 6)
    panel.wait_ended()
    assert f"**You:** Hello\n\nHi there.\n\n**You:** Evil\n\n{EVIL.replace('<', '&lt;')}" == panel.kernel.value(
        "chat.markdown()"
    )
    panel.pick("demo:error-line")
    failed = panel.kernel.run("await chat.send('Why?')").errors[0]
    assert ("UpstreamError", 1) == (failed["ename"], len(failed["traceback"]))
    panel.wait_for("The answer is not complete")


def test_one_question_at_a_time(panel: Panel) -> None:
    """A second one is refused while an answer comes; the interrupt button of the cell stops the first."""
    panel.pick("demo:stall-3")
    cell = panel.kernel.begin("stopped = await chat.send('Why?')")
    panel.wait_for(STALLED)
    panel.kernel.interrupt()
    panel.kernel.wait(lambda: cell.done)
    assert [STALLED, "cancelled"] == panel.kernel.value("[stopped.text, stopped.state]")
    panel.ask("Why?")
    panel.kernel.wait(lambda: len(panel.shown()) == 6 and STALLED in panel.shown()[4].get("text/markdown", ""))
    assert "An answer is coming" in panel.kernel.run("await chat.send('Hello')").errors[0]["evalue"]
    panel.kernel.press("Stop")
    panel.wait_ended()


def test_images(panel: Panel, ollama: DemoOllama) -> None:
    """An image that is chosen or sent goes with its question, and stands in the panel; a blind model is told."""
    panel.pick("sees:latest")
    panel.kernel.upload(panel.kernel.find(_model_name="FileUploadModel"), "cat.png", PNG)
    panel.send("Hello")
    panel.wait_for("tokens/s")
    panel.wait_ended()
    assert [[base64.b64encode(PNG).decode()]] == [each.get("images") for each in questions(ollama)[-1]]
    assert [] == panel.kernel.widgets[panel.kernel.find(_model_name="FileUploadModel")]["value"]
    sent = "await chat.send('Hello', images=[base64.b64decode(PNG)])\nlen(chat.messages[2]['content'])"
    assert ["2"] == panel.kernel.run(f"import base64\nPNG = {base64.b64encode(PNG)!r}\n{sent}").plain
    assert [1, 0, 1] == [len(each.get("images") or ()) for each in questions(ollama)[-1]]
    assert 2 == sum(state.get("_model_name") == "ImageModel" for state in panel.kernel.widgets.values())
    assert "**You:** Hello\n\n*1 image*\n\nHi there." == panel.kernel.value("chat.markdown()").partition("\n\n**")[0]
    asked = len(questions(ollama))
    for code in ("await chat.send('Hello', images=['/no/such.png'])", "await chat.send('Hello', images=[b'no image'])"):
        assert "InvalidRequest" == panel.kernel.run(code).plain[-1]
    panel.pick("demo:newlines")
    panel.kernel.press("Retry")
    panel.wait_for("can't be read")
    assert asked == len(questions(ollama))


def test_own_chain(kernel: Kernel) -> None:
    """A chat over a chain of one's own offers no models."""
    kernel.run("async def shout(question): return question.upper()")
    panel = Panel(kernel, "Chat(shout)")
    panel.ask("loud")
    panel.wait_for("LOUD")
    panel.wait_ended()
    layout = kernel.widgets[kernel.find(_model_name="DropdownModel")]["layout"].removeprefix("IPY_MODEL_")
    assert "none" == kernel.widgets[layout]["display"]
    kernel.run("chat.close()")


def test_panel_that_was_made_before_ollama_ran(kernel: Kernel) -> None:
    """Its models can be picked from the next question on, or when it is shown again; what is picked stays picked."""
    kernel.run("import os\nhere = os.environ['OLLAMA_HOST']\nos.environ['OLLAMA_HOST'] = '127.0.0.1:9'")
    panel = Panel(kernel)
    panel.ask("Hello")
    panel.wait_for("Ollama is not running")
    panel.wait_ended()
    kernel.run("os.environ['OLLAMA_HOST'] = here")
    panel.ask("Hello")
    panel.wait_for("Hi there.")
    panel.wait_ended()
    panel.pick("demo:newlines")
    kernel.run("chat")
    panel.ask("Why?")
    panel.kernel.wait(lambda: any(NEWLINES == bundle.get("text/plain") for bundle in panel.shown()))
    panel.wait_ended()
    kernel.run("chat.close()")


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        ("demo:stall-3", "Stopped: the answer is not complete."),
        ("demo:error-line", "The answer is not complete."),
        ("demo:length", "The answer was cut at its length limit."),
    ],
)
def test_closed_chat_keeps_the_mark_of_a_bad_answer(kernel: Kernel, model: str, mark: str) -> None:
    """What a closed chat leaves in the cell says which answer was stopped, failed, or was cut."""
    panel = Panel(kernel)
    panel.pick(model)
    panel.ask("Why?")
    panel.wait_for(STALLED if "stall" in model else mark)
    kernel.run("chat.close()")
    assert {} == kernel.widgets
    for kind in ("text/markdown", "text/plain"):
        assert mark in panel.cell.bundles[0][kind]
