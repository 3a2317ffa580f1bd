"""The magics `%%llm` and `%llm`, in real kernels."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.kernels import Kernel

STALLED = " 1 2 3"


@pytest.fixture(scope="module", autouse=True)
def ollama(kernels_ollama: DemoOllama) -> DemoOllama:
    """The demo Ollama of the kernels, which knows these questions."""
    kernels_ollama.answers |= {
        "Hello": "Hi there.",
        "Hello Ann, {you}": "Ann!",
        "What's up?": "Nothing.",
        "one\ntwo": "2",
    }
    return kernels_ollama


@pytest.fixture
def kernel(kernel: Kernel) -> Kernel:
    """A kernel with the magics, and chains to ask."""
    kernel.run("%load_ext llmstream\nname, number = 'Ann', 3\nasync def shout(question): return question.upper()")
    return kernel


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("%%llm\nHello", "Hi there."),
        ("%%llm Hello", "Hi there."),
        ("%%llm one\ntwo", "2"),
        ("\n%%llm -m demo:slow-0.01 -o answer\nWhy?", SENTENCE),
        ("%%llm --model demo:slow-0.01\nWhy?", SENTENCE),
        ("%%llm -f\nHello {name}, {{you}}", "Ann!"),
        ("%%llm -c shout\nwhy? {name}", "WHY? {NAME}"),
        ("%%llm -c shout -f\nwhy? {name.lower.__name__} {number:03}", "WHY? LOWER 003"),
        ("%%llm -c shout -- -o is no option\n", "-O IS NO OPTION"),
        ("%llm What's up?", "Nothing."),
        ("x = 1\n%llm What's up?", "Nothing."),
        ("%llm -c shout loud", "LOUD"),
        ("def ask():\n    return get_ipython().run_cell_magic('llm', '', 'Hello')\nask()", "Hi there."),
        ("answer = %llm Hello", "Hi there."),
    ],
)
def test_question(kernel: Kernel, cell: str, text: str) -> None:
    """A question is answered in the cell, once, with the options that stand before it."""
    found = kernel.run(cell)
    assert [text, 2] == [found.plain[0], len(found.outputs)]


def test_lines_in_a_string_are_left_alone(kernel: Kernel) -> None:
    """What looks like the magic inside a string is text."""
    assert ["a\n%llm Hello\n\n"] == kernel.run('print("""a\n%llm Hello\n""")').plain


def test_answer_goes_into_a_variable(kernel: Kernel) -> None:
    """-o NAME keeps the answer, with thinking where it is asked for."""
    kernel.run("%%llm -m demo:thinking --thinking -o kept\nWhy?")
    assert [True, True] == kernel.value("[bool(kept.text), bool(kept.reasoning)]")


def test_failed_answer_goes_into_the_variable(kernel: Kernel) -> None:
    """An answer that breaks off fails the cell, and -o keeps what came."""
    cell = kernel.run("%%llm -m demo:cut -o partial\nWhy?")
    assert "UpstreamTruncated" == cell.plain[-1]
    assert [cell.plain[0], "failed"] == kernel.value("[partial.text, partial.state]")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%llm\n", "there is no question"),
        ("%%llm -m\n", "expected one argument"),
        ("%%llm -x\nWhy?", "unrecognized arguments: -x"),
        ("%%llm -o 1st\nWhy?", "-o takes the name of a variable, got '1st'"),
        ("%%llm -c nothing\nWhy?", "there is none named 'nothing'"),
        ("%%llm -c number\nWhy?", "number is no chain: it is a int"),
        ("%%llm -f\nWhy {nobody}?", "there is no variable 'nobody'"),
        ('%%llm -f\n{ "a": 1 }', "Write {{ and }} for braces"),
        ("%llm", "there is no question"),
    ],
)
def test_mistake_is_told_in_words(kernel: Kernel, ollama: DemoOllama, cell: str, message: str) -> None:
    """A cell that can't be understood says why in one line, and asks nothing."""
    asked = len(ollama.requests)
    found = kernel.run(cell)
    assert message in "".join(found.plain)
    assert "Traceback" not in "".join(found.plain)
    assert len(ollama.requests) == asked


def test_cell_awaits(kernel: Kernel, ollama: DemoOllama) -> None:
    """While the magic waits the kernel's other tasks go on, and an interrupt stops it."""
    kernel.run(
        "async def tick():\n    global ticks\n    while True:\n        ticks += 1\n        await asyncio.sleep(0)"
    )
    kernel.run("ticks = 0")
    cell = kernel.begin("%%llm -m demo:stall-3 -o stopped\nWhy?")
    kernel.wait(lambda: any(bundle.get("text/markdown", "").startswith(STALLED) for bundle in cell.bundles))
    kernel.interrupt()
    kernel.wait(lambda: cell.done)
    assert ollama.wait_idle(timeout_s=1)
    assert [STALLED, "cancelled"] == kernel.value("[stopped.text, stopped.state]")


def test_help_and_autoawait_off(kernel: Kernel) -> None:
    """With %autoawait off the magic answers all the same; its help tells the options."""
    kernel.run("%autoawait off")
    try:
        assert "Hi there." == kernel.run("%%llm\nHello").plain[0]
    finally:
        kernel.run("%autoawait asyncio")
    assert "--format-vars" in kernel.value("get_ipython().find_magic('llm', 'cell').__doc__")
