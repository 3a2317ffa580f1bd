"""The notebook surface in real kernels, of ipykernel 6 and of the newest, over Jupyter's protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES, SENTENCE
from tests.support.kernels import Kernel
from tests.support.notebook_cells import STALLED, begin_stalled


def test_kernels_are_what_they_should_be(old_kernel: Kernel, new_kernel: Kernel) -> None:
    """The tests run on the two ipykernels that they are about."""
    versions = [kernel.value("__import__('ipykernel').version_info[:2]") for kernel in (old_kernel, new_kernel)]
    assert [6, 31] == versions[0]
    assert [7, 4] <= versions[1]


def test_answer_is_exact_and_shown_once(kernel: Kernel) -> None:
    """The last expression of a cell, `await show(…)`, shows the answer once, exactly, and a line below it."""
    cell = kernel.run("answer = await show('Why?', model='demo:newlines')\nanswer")
    assert 2 == len(cell.outputs)
    assert [{"text/markdown", "text/plain"}] * 2 == [set(bundle) for bundle in cell.bundles]
    assert NEWLINES == cell.plain[0]
    assert "tokens/s" in cell.plain[1]
    assert [NEWLINES, "", None, True, "finished"] == kernel.value(
        "[answer.text, answer.reasoning, answer.output, answer.complete, answer.state]"
    )
    assert kernel.value(
        "[answer.usage.output_tokens > 0, answer.timings.total_s > 0, len(answer.run_id), answer.error]"
    )[:3] == [True, True, 32]


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_an_answer_that_was_cut_goes_on(kernel: Kernel, call: str) -> None:
    """Given alone, it is shown whole, with what the model adds."""
    kernel.run(f"answer = {call}('Why?', model='demo:length')")
    cell = kernel.run(f"more = {call}(answer)")
    assert ["The sky is blue because", "The sky is blue because air scatters blue light more"] == kernel.value(
        "[answer.text, more.text]"
    )
    assert cell.plain[0] == kernel.value("more.text")
    assert "continued" in cell.plain[1]
    assert "leave out model" in kernel.run(f"{call}(more, model='demo')").outputs[-1]["evalue"]


def test_answer_can_be_shown_again(kernel: Kernel) -> None:
    """In another cell, the answer is shown as Markdown and as plain text."""
    kernel.run("answer = await show('Why?', model='demo:slow-0.01')")
    cell = kernel.run("answer")
    assert [{"text/markdown": SENTENCE, "text/plain": SENTENCE}] == cell.bundles


def test_long_answer_costs_little_on_the_wire(kernel: Kernel) -> None:
    """2,000 tokens are at most 0.7 MB of messages, far fewer of them than tokens, and the text is whole."""
    kernel.sent_bytes = kernel.updates = 0
    cell = kernel.run("await show('Why?', model='demo:tokens-2000')")
    assert "".join(f" {number}" for number in range(1, 2001)) == cell.plain[0]
    assert kernel.sent_bytes <= 700_000
    assert kernel.updates <= 200


def test_text_grows(kernel: Kernel, ollama: DemoOllama) -> None:
    """What has come is shown while the answer goes on."""
    cell = begin_stalled(kernel, "await show('Why?', model='demo:stall-3')")
    assert not cell.done
    kernel.interrupt()
    kernel.wait(lambda: cell.done)


def test_cells_keep_their_outputs(kernel: Kernel) -> None:
    """Two cells asked for at once show their answers each in its own place, one after the other."""
    first = kernel.begin("await show('Why?', model='demo:slow-0.3')\nprint('one')")
    second = kernel.begin("await show('Why?', model='demo:tokens-5')\nprint('two')")
    kernel.wait(lambda: second.done)
    assert [SENTENCE, "one\n"] == [first.plain[0], first.plain[2]]
    assert [" 1 2 3 4 5", "two\n"] == [second.plain[0], second.plain[2]]


def test_answer_in_the_background(kernel: Kernel) -> None:
    """An answer that a task shows stays in the cell that made the task, while other cells run."""
    first = kernel.run("task = asyncio.create_task(show('Why?', model='demo:slow-0.3'))")
    second = kernel.run("print((await task).state)")
    kernel.wait(lambda: len(first.bundles) == 2 and "tokens" in first.plain[1])
    assert [SENTENCE, ["finished\n"]] == [first.plain[0], second.plain]


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_error_before_the_answer(kernel: Kernel, call: str) -> None:
    """An answer that can't begin fails the cell with one line in words."""
    cell = kernel.run(f"{call}('Why?', model='demo:none')")
    assert 1 == len(cell.outputs)
    assert ["\x1b[31mModelNotFound\x1b[0m: " + cell.errors[0]["evalue"]] == cell.errors[0]["traceback"]
    assert "`demo:`" in cell.errors[0]["evalue"]


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_error_in_the_middle_keeps_the_text(kernel: Kernel, call: str) -> None:
    """An answer that breaks off keeps what came, and fails the cell; the error has the answer."""
    cell = kernel.run(f"{call}('Why?', model='demo:cut')")
    assert ["⚠️ The answer is not complete.", "UpstreamTruncated"] == cell.plain[1:]
    assert 1 == len(cell.errors[0]["traceback"])
    cell = kernel.run(
        f"from llmstream import LlmstreamError\ntry:\n    {call}('Why?', model='demo:cut')\n"
        "except LlmstreamError as error:\n    partial = error.answer"
    )
    assert [cell.plain[0], "failed", "upstream_truncated"] == kernel.value(
        "[partial.text, partial.state, partial.error.code]"
    )
    assert SENTENCE.startswith(cell.plain[0])


def test_thinking_is_folded(kernel: Kernel) -> None:
    """Thinking stands folded above the answer, and apart from its text."""
    cell = kernel.run("answer = await show('Why?', model='demo:thinking', thinking=True)")
    text, reasoning = kernel.value("[answer.text, answer.reasoning]")
    markdown = cell.bundles[0]["text/markdown"]
    assert markdown.startswith("<details>\n<summary>Thinking")
    assert markdown.endswith(f"</details>\n\n{text}")
    assert "" != reasoning
    assert text == cell.plain[0]


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_structured_answer(kernel: Kernel, ollama: DemoOllama, call: str) -> None:
    """An object is shown as JSON and is `answer.output`: of a format that was asked for, and of a chain's own."""
    ollama.answers["Oslo?"] = '{"city": "Oslo"}'
    shown = '```json\n{\n  "city": "Oslo"\n}\n```'
    cell = kernel.run(f"answer = {call}('Oslo?', format='json')")
    assert [{"text/markdown": shown, "text/plain": '{"city": "Oslo"}'}] == cell.bundles[:1]
    assert [{"city": "Oslo"}, '{"city": "Oslo"}'] == kernel.value("[answer.output, answer.text]")
    kernel.run("async def city(question): return {'city': 'Oslo'}")
    cell = kernel.run(f"answer = {call}('Oslo?', chain=city)")
    assert [shown, "city"] == [cell.bundles[0]["text/markdown"], cell.plain[1]]
    assert [{"city": "Oslo"}, ""] == kernel.value("[answer.output, answer.text]")


def test_runs_can_be_shared(kernel: Kernel) -> None:
    """With `runs`, a run that a cell shows can be followed and stopped from anywhere else."""
    kernel.run("import llmstream\nruns = llmstream.Runs()")
    cell = begin_stalled(
        kernel,
        "async def stop_it():\n"
        "    while not (runs.active and (await (await runs.get(runs.active[0])).snapshot()).text == ' 1 2 3'):\n"
        "        await asyncio.sleep(0.01)\n"
        "    await asyncio.sleep(0.3)\n"
        "    await (await runs.get(runs.active[0])).stop()\n"
        "stopping = asyncio.create_task(stop_it())\n"
        "print((await show('Why?', model='demo:stall-3', runs=runs)).state)",
    )
    kernel.wait(lambda: cell.done)
    assert [STALLED, "Stopped: the answer is not complete.", "cancelled\n"] == cell.plain


def test_settings_are_read_for_each_answer(kernel: Kernel) -> None:
    """`llmstream.demo()` is used by the answers inside it, whatever was used before."""
    cell = kernel.run(
        "import llmstream\nwith llmstream.demo(tokens_per_s=None) as demo:\n"
        "    demo.answers['Hello'] = 'Hi there.'\n    answer = await show('Hello')"
    )
    assert "Hi there." == cell.plain[0]


def test_unattended_kernel_shows_no_controls(kernel: Kernel) -> None:
    """Where nobody can answer, as under nbclient, there are no widgets and no hints, only the answer."""
    cell = kernel.run("await show('Why?', model='demo:slow-0.3')", allow_stdin=False)
    assert {} == kernel.widgets
    assert [SENTENCE, True] == [cell.plain[0], "tokens/s" in cell.plain[1]]


def test_outside_of_a_notebook(ollama: DemoOllama) -> None:
    """Without a kernel the answer is plain text as it comes, and a Chat says where it lives."""
    code = "from llmstream.notebook import *; show_sync('Why?', model='demo:slow-0.01'); Chat()"
    environment = {**os.environ, "OLLAMA_HOST": ollama.url}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    assert f"{SENTENCE}\n" == done.stdout
    assert "RuntimeError: A Chat lives in a notebook." in done.stderr


def test_ipython_in_a_terminal(ollama: DemoOllama, tmp_path: Path) -> None:
    """In IPython without a kernel the magic streams plain text, once."""
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor"]
    code = "%load_ext llmstream\n%llm -m demo:slow-0.01 Why?\n"
    environment = {**os.environ, "OLLAMA_HOST": ollama.url, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(command, input=code, capture_output=True, text=True, env=environment, timeout=100)
    assert ["", 1] == [done.stderr, done.stdout.count(SENTENCE)]


def test_answer_that_is_not_awaited(kernel: Kernel) -> None:
    """`show(…)` as the last line of a cell is answered all the same; anywhere else its repr says what to write."""
    cell = kernel.run("show('Why?', model='demo:slow-0.01')")
    kernel.wait(lambda: len(cell.plain) == 2 and "tokens/s" in cell.plain[1])
    assert SENTENCE == cell.plain[0]
    assert "await show" in kernel.value("repr(show('Why?'))")


def test_answer_that_is_not_awaited_and_nobody_there(kernel: Kernel) -> None:
    """A program that runs a notebook takes nothing from a cell that has ended: nothing is asked, and it says why."""
    cell = kernel.run("show('Why?', model='demo:slow-0.01')", allow_stdin=False)
    assert ["await show" in text for text in cell.plain] == [True]


def test_error_that_is_not_awaited(kernel: Kernel) -> None:
    """Where such an answer can't begin, the cell says why."""
    cell = kernel.run("show('Why?', model='missing')")
    kernel.wait(lambda: any("ModelNotFound" in text for text in cell.plain))


OUTPUT = "import ipywidgets\nplace = ipywidgets.Output()\ndisplay(place)\n"


@pytest.mark.parametrize(
    "code", ["await show('Why?', model='demo:slow-0.01')", "show_sync('Why?', model='demo:slow-0.01')"]
)
def test_answer_in_an_output_widget(kernel: Kernel, code: str) -> None:
    """Inside of an `ipywidgets.Output` an answer changes no output, which would be lost there, but widgets."""
    kernel.updates = 0
    kernel.run(f"{OUTPUT}with place:\n    answer = {code}")
    shown = [output["data"] for state in kernel.widgets.values() for output in state.get("outputs", ())]
    assert 0 == kernel.updates
    assert {"text/markdown": SENTENCE, "text/plain": SENTENCE} in shown
    assert any("tokens/s" in bundle["text/plain"] for bundle in shown)
    kernel.run("ipywidgets.Widget.close_all()")
    kernel.widgets.clear()
