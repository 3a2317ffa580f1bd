"""Answers in real kernels that are stopped: by the button, by an interrupt, by running the cell again."""

from __future__ import annotations

from functools import partial

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.kernels import Kernel
from tests.support.notebook_cells import STALLED, begin_stalled, shows


def test_stop_button(new_kernel: Kernel, ollama: DemoOllama) -> None:
    """Where the kernel hears it, Stop ends the answer, keeps what came, frees the model and leaves no trace."""
    cell = begin_stalled(new_kernel, "answer = await show('Why?', model='demo:stall-3')\nanswer.state")
    new_kernel.press("Stop")
    new_kernel.wait(lambda: cell.done)
    assert ollama.wait_idle(timeout_s=1)
    assert [STALLED, "Stopped: the answer is not complete.", "'cancelled'"] == cell.plain
    assert {"text/markdown", "text/plain"} == {name for bundle in cell.bundles for name in bundle}
    assert {} == new_kernel.widgets


def test_no_button_where_it_would_not_work(old_kernel: Kernel) -> None:
    """An older kernel hears no button while a cell waits: it says how to stop instead."""
    cell = begin_stalled(old_kernel, "await show('Why?', model='demo:stall-3')")
    assert " 1 2 3\n\n*Not complete · last text at " == cell.plain[0][:-9]
    assert "To stop, interrupt the kernel." == cell.plain[1]
    assert {} == old_kernel.widgets
    old_kernel.interrupt()
    old_kernel.wait(lambda: cell.done)


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_interrupt_keeps_the_answer(kernel: Kernel, ollama: DemoOllama, call: str) -> None:
    """The interrupt button ends the answer without an error, keeps what came, and frees the model."""
    cell = begin_stalled(kernel, f"answer = {call}('Why?', model='demo:stall-3')\nprint('went on')")
    kernel.interrupt()
    kernel.wait(lambda: cell.done)
    assert ollama.wait_idle(timeout_s=1)
    assert [STALLED, "Stopped: the answer is not complete.", "went on\n"] == cell.plain
    assert [STALLED, "cancelled", False] == kernel.value("[answer.text, answer.state, answer.complete]")


@pytest.mark.parametrize("call", ["await show", "show_sync"])
def test_interrupt_before_the_first_token(kernel: Kernel, ollama: DemoOllama, call: str) -> None:
    """An answer that has not begun is stopped as well."""
    cell = kernel.begin(f"(({call}('Why?', model='demo:silent'))).state")
    assert ollama.wait_active()
    kernel.wait(lambda: len(cell.outputs) >= 1)
    kernel.interrupt()
    kernel.wait(lambda: cell.done)
    assert ollama.wait_idle(timeout_s=1)
    assert ["", "Stopped before the answer began.", "'cancelled'"] == cell.plain


def test_interrupt_stops_all_answers_of_a_cell(kernel: Kernel, ollama: DemoOllama) -> None:
    """Two answers side by side in one cell are both stopped by one interrupt."""
    code = "first, second = await asyncio.gather(*(show('Why?', model=f'demo:stall-{n}') for n in (3, 2)))"
    cell = kernel.begin(code)
    kernel.wait(lambda: shows(cell, STALLED) and shows(cell, " 1 2"))
    kernel.interrupt()
    kernel.wait(lambda: cell.done)
    assert ollama.wait_idle(timeout_s=1)
    assert [[STALLED, " 1 2"], []] == [kernel.value("[first.text, second.text]"), cell.errors]


def test_interrupts_are_as_before_afterwards(kernel: Kernel) -> None:
    """After an answer, also one that ended in the background, an interrupt does to other cells what it always did."""
    kernel.run("task = asyncio.create_task(show('Why?', model='demo:slow-0.01'))")
    kernel.run("await show('Why?', model='demo:slow-0.01'); await task")
    for code in (
        "import time\nprint('on')\nwhile True: time.sleep(0.01)",
        "print('on')\nwhile True: await asyncio.sleep(0.01)",
    ):
        cell = kernel.begin(code)
        kernel.wait(partial(getattr, cell, "outputs"))
        kernel.interrupt()
        kernel.wait(partial(getattr, cell, "done"))
        assert cell.errors[0]["ename"] in ("KeyboardInterrupt", "CancelledError")


def test_cancelled_task_stops_the_run(kernel: Kernel, ollama: DemoOllama) -> None:
    """A time limit around the answer works as around anything, and frees the model."""
    cell = kernel.run(
        "try:\n    await asyncio.wait_for(show('Why?', model='demo:stall-3'), 0.5)\n"
        "except TimeoutError:\n    print('too long')"
    )
    assert ollama.wait_idle(timeout_s=1)
    assert [STALLED, "Stopped: the answer is not complete.", "too long\n"] == cell.plain


def test_running_a_cell_again_stops_its_former_answer(kernel: Kernel, ollama: DemoOllama) -> None:
    """What an earlier execution of a cell still shows in the background is stopped when the cell is run again."""
    code = "task = asyncio.create_task(show('Why?', model=MODEL))\nawait asyncio.sleep(0)"
    kernel.run("MODEL = 'demo:stall-3'")
    first = kernel.run(code, cell_id="cell")
    kernel.wait(lambda: shows(first, STALLED))
    kernel.run("MODEL, former = 'demo:slow-0.01', task")
    second = kernel.run(code, cell_id="cell")
    kernel.wait(lambda: shows(second, SENTENCE) and "Stopped: the answer is not complete." in first.plain)
    assert ["cancelled", "finished"] == kernel.value("[(await former).state, (await task).state]")
    assert ollama.wait_idle(timeout_s=1)
